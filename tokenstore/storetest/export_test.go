package storetest

import "time"

// SetPatience shortens the wait for stores that hang.
func SetPatience(d time.Duration) { patience = d }

// Rules returns the rule of each case.
func Rules() map[string]string {
	rules := make(map[string]string)
	for _, tc := range casesFor(Config{Shared: true}) {
		rules[tc.name] = tc.rule
	}
	return rules
}

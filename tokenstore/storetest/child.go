package storetest

import "testing"

type child struct{}

func inChild(*testing.T, Config) bool { return false }
func sharedCases() []testCase         { return nil }

var contextCases, exclusionCases []testCase

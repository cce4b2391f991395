// Command bench shows what Freshet costs and what it does beside other libraries, in one
// run and on the same work, as Markdown tables, and draws two of them:
//
//	go -C internal/bench run .
//	go -C internal/bench run . -only expiry,outage -plots ../../.github/plots
//
// Counts are exact. Times are those of this machine at this moment: read them as ratios
// within one run. The steady state is in Benchmarks too, for benchstat:
//
//	go -C internal/bench test -bench . -count 10
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tables are printed in this order.
var tables = []struct {
	name string
	make func(*figures) table
}{
	{"steady", steadyTable},
	{"wire", wireTable},
	{"scenarios", scenarioTable},
	{"expiry", expiryTable},
	{"outage", outageTable},
	{"processes", processTable},
	{"sessions", sessionsTable},
}

func main() {
	if isWorker() {
		work()
		return
	}
	testing.Init()
	each := flag.String("time", "15ms", "how long one measurement takes; there are some 2000")
	only := flag.String("only", "", "the tables to print, separated by commas, of "+strings.Join(tableNames(), ","))
	plots := flag.String("plots", "", "a directory for the plots of what is measured")
	flag.Parse()
	if err := flag.Set("test.benchtime", *each); err != nil {
		log.Fatal(err)
	}
	wanted, err := choose(*only)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %s/%s, %d processors\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	var figs figures
	for _, t := range tables {
		if slices.Contains(wanted, t.name) {
			made := t.make(&figs)
			made.print(os.Stdout)
		}
	}
	if *plots != "" {
		if err := figs.write(*plots); err != nil {
			log.Fatal(err)
		}
	}
}

// choose returns the names in only, or all of them.
func choose(only string) ([]string, error) {
	all := tableNames()
	if only == "" {
		return all, nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no table %q, but %s", name, strings.Join(all, ", "))
		}
	}
	return wanted, nil
}

func tableNames() (names []string) {
	for _, t := range tables {
		names = append(names, t.name)
	}
	return names
}

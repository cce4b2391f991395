// Command bench shows what Freshet costs and what it does beside other libraries, in one
// run and on the same work, as Markdown tables:
//
//	go -C internal/bench run .
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
	"testing"
)

func main() {
	testing.Init()
	each := flag.String("time", "300ms", "how long one measurement takes; there are some 300")
	flag.Parse()
	if err := flag.Set("test.benchtime", *each); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %s/%s, %d processors\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	for _, measured := range []func() table{steadyTable, scenarioTable} {
		t := measured()
		t.print(os.Stdout)
	}
}

package tokenstore_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// changes are the calls that change what is on the disk, or who may change it.
// A process that is killed at another one leaves what it leaves at the next of
// these.
func (c call) changes() bool {
	switch c.name {
	case "openat":
		return strings.Contains(c.text, "O_CREAT")
	case "flock", "write", "pwrite64", "ftruncate", "ftruncate64", "fsync", "renameat", "renameat2", "unlinkat", "mkdirat":
		return true
	}
	return strings.Contains(c.text, "/freshet-mark-")
}

func TestRule069_crash_leaves_the_old_or_the_new_record(t *testing.T) {
	t.Parallel() // it mostly waits
	tr := newTracer(t)
	for _, op := range []string{"update", "first", "unchanged", "delete"} {
		t.Run(op, func(t *testing.T) {
			c := tr.clean(t, op)
			c.main.wantOrder(t, op)
			var jobs []func()
			calls := c.main.calls[c.main.begin : c.main.end+1]
			for n, call := range calls {
				if thorough(t) || call.changes() {
					jobs = append(jobs, func() { killAt(t, tr, c, n) })
				}
			}
			t.Logf("killed at %d of %d calls", len(jobs), len(calls))
			atOnce(jobs)
		})
	}
}

// killAt kills a process before its nth call and looks at what it leaves.
func killAt(t *testing.T, tr *tracer, c clean, n int) {
	got, ok := tr.inject(t, c, n, "10s", "signal=KILL", "")
	if !ok {
		return
	}
	at := fmt.Sprintf("%s killed at %v", c.op, got.calls[len(got.calls)-1])
	record, err := got.dir.Load(t.Context(), "k")
	before, after := oldRecord, newRecord
	switch c.op {
	case "first":
		before = ""
	case "unchanged":
		after = oldRecord
	case "delete":
		after = ""
	}
	if got.end < len(got.calls) {
		before = after // it was told that all is done
	}
	if r := string(record); r != before && r != after || (err != nil) != (r == "") {
		t.Errorf("%s: Load = %.20q, %v; want %.20q or %.20q", at, record, err, before, after)
	}
	if temps := temporaries(got); len(temps) > 1 {
		t.Errorf("%s: temporary files %q", at, temps)
	}
	mustPut(t, got.dir, "k", "later")
	wantRecord(t, got.dir, "k", "later")
	wantFiles(t, got.dir, "k.json", "k.lock")
}

func temporaries(tr trace) []string {
	names, _ := filepath.Glob(string(tr.dir) + "/*.tmp")
	return names
}

// wantOrder checks that each call is there which makes a change outlast a crash
// of the whole machine, and in the order which that needs.
func (tr trace) wantOrder(t *testing.T, op string) {
	dir := string(tr.dir)
	i := tr.begin
	then := func(name string, parts ...string) { // -1 once one was missing
		t.Helper()
		if i < 0 {
			return
		}
		next := tr.index(i, name, parts...)
		if next < 0 || next >= tr.end {
			t.Errorf("no %s %q after call %d of\n%s", name, parts, i-tr.begin, tr)
			next = -2
		}
		i = next + 1
	}
	if op == "first" {
		then("mkdirat", `"`+filepath.Dir(dir)+`"`, "0700) = 0")
		then("fsync", "<"+filepath.Dir(filepath.Dir(dir))+">", ") = 0")
		then("mkdirat", `"`+dir+`"`, "0700) = 0")
		then("fsync", "<"+filepath.Dir(dir)+">", ") = 0")
		then("pwrite64", "<"+dir+"/k.lock>")
		then("fsync", "<"+dir+"/k.lock>", ") = 0")
	}
	switch op {
	case "delete":
		then("unlinkat", `"`+dir+`/k.json"`, ") = 0")
		then("fsync", "<"+dir+">", ") = 0")
	case "unchanged":
		then("unlinkat", `"`+dir+"/k.", `.tmp"`, ") = 0")
	default:
		then("openat", `"`+dir+"/k.", `.tmp"`, "O_CREAT|O_EXCL", "O_NOFOLLOW", "0600)")
		temp := "<" + dir + "/k.lock>"
		if i >= 0 {
			temp = tr.calls[i-1].text // ends with the descriptor, and the name in < >
			temp = temp[strings.LastIndex(temp, "<"):]
			i = tr.next
		}
		then("pwrite64", temp, fmt.Sprint(") = ", len(newRecord)))
		then("ftruncate", temp, ") = 0")
		then("fsync", temp, ") = 0")
		synced := i
		then("renameat", strings.Trim(temp, "<>")+`"`, `"`+dir+`/k.json"`, ") = 0")
		then("fsync", "<"+dir+">", ") = 0")
		for _, name := range []string{"pwrite64", "write", "ftruncate"} {
			if late := tr.index(max(synced, 0), name, temp); late >= 0 {
				t.Errorf("%s after the fsync:\n%s", name, tr)
			}
		}
	}
	then("flock", "LOCK_UN")
	if tr.index(0, "fchmod") >= 0 {
		t.Errorf("a mode is changed later:\n%s", tr)
	}
}

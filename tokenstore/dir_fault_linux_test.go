package tokenstore_test

import (
	"cmp"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// faults are what each call may fail with. The first is tried always.
var faults = map[string][]syscall.Errno{
	"openat":     {syscall.EACCES, syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EMFILE, syscall.EDQUOT, syscall.EINTR},
	"mkdirat":    {syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EDQUOT},
	"newfstatat": {syscall.EIO, syscall.EACCES},
	"fstat":      {syscall.EIO},
	"flock":      {syscall.ENOLCK, syscall.EOPNOTSUPP, syscall.EINTR, syscall.EIO},
	"read":       {syscall.EIO, syscall.EINTR},
	"pread64":    {syscall.EIO, syscall.EINTR},
	"write":      {syscall.ENOSPC, syscall.EIO, syscall.EDQUOT, syscall.EFBIG, syscall.EINTR},
	"pwrite64":   {syscall.ENOSPC, syscall.EIO, syscall.EDQUOT, syscall.EFBIG, syscall.EINTR},
	"ftruncate":  {syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EINTR},
	"fsync":      {syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EINTR},
	"close":      {syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EINTR},
	"renameat":   {syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EACCES, syscall.EDQUOT, syscall.EBUSY},
	"unlinkat":   {syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EBUSY},
}

// otherNames are what some machines call them.
var otherNames = map[string]string{"fstatat64": "newfstatat", "fstat64": "fstat", "ftruncate64": "ftruncate", "renameat2": "renameat"}

func TestRule077_failed_write_is_an_error_and_the_old_record_stays(t *testing.T) {
	t.Parallel() // it mostly waits
	tr := newTracer(t)
	for _, op := range []string{"update", "first", "unchanged", "delete"} {
		t.Run(op, func(t *testing.T) {
			c := tr.clean(t, op)
			var jobs []func()
			for n, call := range c.main.calls[c.main.begin:c.main.end] {
				for _, errno := range call.faults(t) {
					jobs = append(jobs, func() { failAt(t, tr, c, n, errno) })
				}
			}
			t.Logf("%d faults", len(jobs))
			atOnce(jobs)
		})
	}
	t.Run("for ever", func(t *testing.T) {
		c := tr.clean(t, "update")
		var jobs []func()
		for n, call := range c.main.calls[c.main.begin:c.main.end] {
			if !call.changes() || c.main.begin+n < c.main.next || call.name == "flock" {
				continue
			}
			jobs = append(jobs, func() { failOn(t, tr, c, n, syscall.EIO) })
		}
		t.Logf("%d faults", len(jobs))
		atOnce(jobs)
	})
}

// What can't be read is an error, and never a record, or a key, that is not there.
func TestDirFailedReadIsAnError(t *testing.T) {
	t.Parallel() // it mostly waits
	tr := newTracer(t)
	for _, op := range []string{"load", "keys"} {
		c := tr.clean(t, op)
		var jobs []func()
		for n, call := range c.main.calls[c.main.begin:c.main.end] {
			switch call.name {
			case "openat", "fstat", "read", "getdents64":
				jobs = append(jobs, func() { failRead(t, tr, c, n) })
			}
		}
		if len(jobs) < 2 {
			t.Errorf("%s: %d calls that could fail:\n%s", op, len(jobs), c.main)
		}
		atOnce(jobs)
	}
}

func failRead(t *testing.T, tr *tracer, c clean, n int) {
	got, ok := tr.inject(t, c, n, "10s", "error=EIO", "")
	if ok && !strings.HasPrefix(got.out, fmt.Sprintf("%d true 0 true ", int(syscall.EIO))) {
		t.Errorf("%s with EIO at %s: %s", c.op, got.calls[got.begin+n].name, got.out)
	}
}

// What is checked before the record is replaced is checked again, by another
// try, where the check itself fails.
func TestDirFailedCheckIsMadeAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	tr := newTracer(t)
	c := tr.clean(t, "update")
	var jobs []func()
	for n, call := range c.main.calls[c.main.begin:c.main.index(c.main.next, "renameat")] {
		ofLock := strings.Contains(call.name, "fstatat") && strings.Contains(call.text, "k.lock")
		ofRecord := (call.name == "openat" || call.name == "read") && strings.Contains(call.text, "k.json")
		if c.main.begin+n > c.main.next && (ofLock || ofRecord) {
			jobs = append(jobs, func() { failCheck(t, tr, c, n) })
		}
	}
	if len(jobs) < 4 {
		t.Errorf("%d calls that check:\n%s", len(jobs), c.main)
	}
	atOnce(jobs)
}

func failCheck(t *testing.T, tr *tracer, c clean, n int) {
	got, ok := tr.inject(t, c, n, "10s", "error=EIO", "")
	if !ok {
		return
	}
	failed := got.calls[got.begin+n]
	again := got.index(got.begin+n+1, "openat", "k.json")
	if strings.Contains(failed.name, "fstatat") {
		again = got.index(got.begin+n+1, failed.name, "k.lock")
	}
	if renamed := got.index(got.begin+n, "renameat"); got.out != "0 false 0 true <nil>" || again < 0 || again > renamed {
		t.Errorf("EIO at %s(%s: %s:\n%s", failed.name, failed.text, got.out, got)
	}
	wantRecord(t, got.dir, "k", newRecord)
}

// What the system says matters in some places, and in others that it is not
// passed over.
func TestDirFaultWithAMeaning(t *testing.T) {
	t.Parallel() // it mostly waits
	tr := newTracer(t)
	for _, tt := range []struct {
		op, call, file string // the last call of the operation for such a file
		errno          syscall.Errno
		want, record   string
	}{
		{"update", "fsync", "tokens>", syscall.EINVAL, "0 false 0 true <nil>", newRecord}, // no directory can be synced there
		{"update", "fsync", "tokens>", syscall.ENOTSUP, "0 false 0 true <nil>", newRecord},
		{"load", "openat", "k.json", syscall.ELOOP, "0 true 0 true tokenstore: not a safe place: ", oldRecord},
		{"short", "ftruncate", ".tmp", syscall.EIO, "0 false 0 true <nil>", "n"}, // what is reserved is no part of the record
		{"unchanged", "openat", ".tmp", syscall.EMFILE, "24 true 0 true ", oldRecord},
		{"unchanged", "pwrite64", "k.lock", syscall.EIO, "5 true 0 true ", oldRecord}, // nobody would clear the temporary file away
		{"delete", "pwrite64", "k.lock", syscall.EIO, "5 true 0 true ", oldRecord},
		{"first", "fsync", "k.lock", syscall.EIO, "5 true 0 true ", ""}, // Keys may need it
		{"first", "fsync", "/a>", syscall.EIO, "5 true 0 true ", ""},    // the directory might be gone after a crash
	} {
		c := tr.clean(t, tt.op)
		n := -1
		for i, call := range c.main.calls[c.main.begin:c.main.end] {
			if strings.HasPrefix(call.name, tt.call) && strings.Contains(call.text, tt.file) {
				n = i
			}
		}
		repeat := ""
		if tt.op == "update" { // or one more try would hide it
			repeat = "+"
		}
		got, ok := tr.inject(t, c, n, "2s", fmt.Sprintf("error=%d", int(tt.errno)), repeat)
		if !ok {
			continue
		}
		if !strings.HasPrefix(got.out, tt.want) {
			t.Errorf("%s with %v at %s: %s; want %s", tt.op, tt.errno, tt.call, got.out, tt.want)
		}
		if tt.record == "" {
			wantNone(t, got.dir, "k")
		} else {
			wantRecord(t, got.dir, "k", tt.record)
		}
	}
}

// faults returns what there is time to try.
func (c call) faults(t *testing.T) []syscall.Errno {
	errnos := faults[cmp.Or(otherNames[c.name], c.name)]
	switch {
	case strings.Contains(c.text, "/freshet-mark-"):
		return nil
	case thorough(t):
		return errnos
	case c.changes():
		return errnos[:1]
	}
	return nil
}

// failAt has the nth call of an operation fail, once.
func failAt(t *testing.T, tr *tracer, c clean, n int, errno syscall.Errno) {
	got, ok := tr.inject(t, c, n, "10s", fmt.Sprintf("error=%d", int(errno)), "")
	if !ok {
		return
	}
	at := fmt.Sprintf("%s with %v at %s(%s", c.op, errno, got.calls[got.begin+n].name, got.calls[got.begin+n].text)
	var told, open int
	var typed, again bool
	fmt.Sscan(got.out, &told, &typed, &open, &again)
	if failed := !strings.HasSuffix(got.out, " <nil>"); failed && (told != int(errno) || !typed || got.next > got.begin+n) {
		t.Errorf("%s: error %q is %d, want %d before the function is called", at, got.out, told, int(errno))
	} else {
		got.wantAfter(t, at, c.op, failed)
	}
	if !again {
		t.Errorf("%s: another Update of the same process does not work: %s", at, got.out)
	}
	if open > 0 && got.calls[got.begin+n].name != "close" {
		t.Errorf("%s: %d files are open still", at, open)
	}
	if temps := temporaries(got); len(temps) > 0 {
		t.Errorf("%s: left %q", at, temps)
	}
	if strings.Contains(at, "fsync") && strings.Contains(at, ".tmp") && errno != syscall.EINTR {
		got.wantNewTemporary(t, at, n)
	}
	mustPut(t, got.dir, "k", "later")
	wantRecord(t, got.dir, "k", "later")
	wantFiles(t, got.dir, "k.json", "k.lock")
}

// failOn has the nth call of an update fail, and each of that name after it.
func failOn(t *testing.T, tr *tracer, c clean, n int, errno syscall.Errno) {
	got, ok := tr.inject(t, c, n, "250ms", fmt.Sprintf("error=%d", int(errno)), "+")
	if !ok {
		return
	}
	at := fmt.Sprintf("%v at each %s(%s", errno, got.calls[got.begin+n].name, got.calls[got.begin+n].text)
	if !strings.HasPrefix(got.out, fmt.Sprintf("%d true 0 ", int(errno))) || !strings.HasSuffix(got.out, "deadline exceeded)") {
		t.Errorf("%s: %s", at, got.out)
	}
	failed := got.index(got.next, "renameat", ") = 0") < 0 // otherwise it is the fsync of the directory that does
	got.wantAfter(t, at, "update", failed)
	if temps := temporaries(got); len(temps) > 0 {
		t.Errorf("%s: left %q", at, temps)
	}
}

// wantAfter checks the record that is there after op has failed or not.
func (tr trace) wantAfter(t *testing.T, at, op string, failed bool) {
	t.Helper()
	record, err := tr.dir.Load(t.Context(), "k")
	want := oldRecord
	switch {
	case op == "delete":
		want = ""
		if failed && string(record) == oldRecord {
			return
		}
	case op == "first" && failed:
		want = ""
	case !failed && op != "unchanged":
		want = newRecord
	}
	if string(record) != want || (err != nil) != (want == "") {
		t.Errorf("%s: %q, and then Load = %.20q, %v; want %.20q", at, tr.out, record, err, want)
	}
}

// wantNewTemporary checks that the record is not what an fsync that failed was
// about: what the system then still has of that file in its memory is not what
// is on the disk.
func (tr trace) wantNewTemporary(t *testing.T, at string, n int) {
	t.Helper()
	failed := tr.calls[tr.begin+n].text
	name := failed[strings.Index(failed, "<")+1 : strings.Index(failed, ">")]
	if tr.index(tr.begin+n+1, "fsync", name) >= 0 || tr.index(0, "renameat", name) >= 0 || tr.index(tr.begin+n, "unlinkat", name) < 0 {
		t.Errorf("%s: the file is used again:\n%s", at, tr)
	}
	if tr.index(tr.begin+n, "openat", "O_CREAT|O_EXCL") < 0 {
		t.Errorf("%s: no new file:\n%s", at, tr)
	}
}

package tokenstore

import (
	"io/fs"
	"os"
)

// openFlags is empty: what the flags do elsewhere, openFile does here as well
// as it can.
const openFlags = 0

// openFile looks at the file before it opens it, since Windows has no flag that
// keeps os.OpenFile from following a link, and again afterwards.
func openFile(path string, flag int) (*os.File, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := checkFile(path, before); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		f.Close()
		return nil, errSharingViolation // replaced in between, so look again
	}
	return f, nil
}

// checkOwner and checkDir leave it to the access rights that files inherit.
func checkOwner(string, fs.FileInfo) error { return nil }

func checkDir(string, fs.FileInfo) error { return nil }

// syncDir does nothing: Windows can't, and NTFS has a journal of names.
func syncDir(string) error { return nil }

func isBusy(err error) bool { return isBusyOnWindows(err) }

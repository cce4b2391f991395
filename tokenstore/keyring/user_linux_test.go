package keyring_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is a user who has no session.
const nobody = 987654321

// noBus is a session in which nothing says where a bus is. What would start one
// leaves a file.
func noBus(t *testing.T) *session {
	dir, err := os.MkdirTemp("", "freshet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(dir + "/launched"); err == nil {
			t.Error("a bus was started")
		}
		os.RemoveAll(dir)
	})
	os.Chmod(dir, 0o777) // for nobody
	t.Setenv("PATH", dir)
	if err := os.WriteFile(dir+"/dbus-launch", fmt.Appendf(nil, "#!/bin/sh\n: >%s/launched\n", dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return &session{dir: dir, attr: withoutRuntimeDir()}
}

// withoutRuntimeDir returns what makes a process that of a user who has no bus in
// his runtime directory, where one is found without an address.
func withoutRuntimeDir() *syscall.SysProcAttr {
	buses, _ := filepath.Glob(fmt.Sprintf("/run/user/%d/*bus*", os.Getuid()))
	if len(buses) == 0 {
		return nil
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getuid(), Size: 1}},
	}
}

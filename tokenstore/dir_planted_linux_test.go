package tokenstore_test

import (
	"os"
	"syscall"
	"testing"
)

func init() {
	plant["socket"] = func(_ *testing.T, path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0) }
	plant["device"] = func(t *testing.T, path string) error {
		if os.Getuid() != 0 {
			t.Skip("only root makes devices")
		}
		const null = 1<<8 | 3
		err := syscall.Mknod(path, syscall.S_IFCHR|0o600, null)
		if err == syscall.EPERM {
			t.Skip("no devices can be made here")
		}
		return err
	}
}

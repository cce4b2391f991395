//go:build (dragonfly && cgo) || (freebsd && cgo) || linux || netbsd || openbsd

package keyring

import "github.com/godbus/dbus/v5"

// reachable returns an error unless there is a session bus that can be reached.
// Without an address the library would run dbus-launch, which starts a bus that
// stays.
func reachable() error {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
	if err != nil {
		return err
	}
	return conn.Close()
}

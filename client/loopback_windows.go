package client

import "syscall"

// exclusive keeps a program that asks for SO_REUSEADDR from taking the port of a
// listener, which Windows lets it do otherwise.
func exclusive(_, _ string, conn syscall.RawConn) (err error) {
	const soExclusiveAddrUse = ^syscall.SO_REUSEADDR // winsock2.h
	cerr := conn.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, soExclusiveAddrUse, 1)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

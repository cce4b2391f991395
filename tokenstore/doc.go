// Package tokenstore keeps the tokens of sessions: the contract that every
// store fulfils, the record that is kept, and the stores that need nothing but
// this machine.
//
//   - [Memory] keeps records as long as the process lives.
//   - [Dir] keeps a file for each record in a directory, shared by the processes
//     of a machine.
//   - [Funcs] makes a store of closures, for one process.
//   - [Sealed] encrypts the records of another store.
//
// The contract is [Store]. Its one unusual method is Update: a refresh with a
// refresh token that can be used once is a read, a network exchange and a write
// that must exclude every other one. Said as one call, an adapter can't get the
// order wrong and a decorator can't forget the lock.
//
// A store of one's own fits on a page, as the example shows, and package
// storetest tests that it keeps the contract.
package tokenstore

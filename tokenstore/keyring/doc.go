// Package keyring keeps the key of a [tokenstore.Sealed] in the keyring of the
// operating system: the Secret Service of the D-Bus session (GNOME Keyring,
// KWallet, KeePassXC) on Linux and the BSDs, the login keychain on macOS, the
// Credential Manager on Windows.
//
// What is sealed stays in a [tokenstore.Dir], or in another store. So no limit of
// a keyring is ever met, such as the 2560 bytes of Windows: it is given 44
// characters, however large the records are. And one prompt opens all of them.
//
// There is no way back to plain text. If the keyring can't be used, [Open] says
// so, with an error that is [ErrUnavailable], and no later than its context ends.
// A program that is to run where there is none gives [tokenstore.NewSealed] a key
// from elsewhere.
//
// The key is never an argument or in the environment of another process. On macOS
// it goes to /usr/bin/security on standard input, and comes back on standard
// output; elsewhere no other program is run. Whatever runs as the same user and
// finds the keyring unlocked can read the key: this protects files that are
// copied, backed up or stolen, and not from programs of the user.
package keyring

//go:build unix || windows

package tokenstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// The files of a key differ in what follows their common base name.
const (
	recordSuffix = ".json"
	lockSuffix   = ".lock"
	tempSuffix   = ".tmp" // after a dot and 26 random characters
)

// maxBase leaves room for the suffixes in the 255 bytes that file systems give
// a name.
const maxBase = 200

// hashed begins the base name of a key that is too long to be spelled in one.
// No other base name has the character.
const hashed = "#"

// baseName returns the name of the files of key, without suffix. Two keys never
// have the same one, also where upper and lower case are not told apart; it is
// no name that Windows keeps for devices, doesn't begin with a dot or a hyphen,
// and has nothing that a file system, or a shell, gives a meaning.
func baseName(key string) string {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if special := i == 0 && (!isWord(c) || namesDevice(key)); special || !isPlain(c) {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() > maxBase {
		sum := sha256.Sum256([]byte(key))
		return hashed + hex.EncodeToString(sum[:])
	}
	return b.String()
}

// spelledKey returns the key that is spelled in the base name, or "" if no key
// has files of that name.
func spelledKey(base string) (key string) {
	key, err := url.PathUnescape(base)
	if err != nil || CheckKey(key) != nil || baseName(key) != base {
		return ""
	}
	return key
}

func isPlain(c byte) bool { return isWord(c) || strings.IndexByte("-_.@+=,", c) >= 0 }

func isWord(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// namesDevice reports whether key may be the name of a device on Windows (CON,
// COM1, NUL.txt). It has no list of them: what begins like one is enough, since
// all that it costs is an escaped letter.
func namesDevice(key string) bool {
	for _, device := range []string{"con", "prn", "aux", "nul", "com", "lpt"} {
		if strings.HasPrefix(key, device) {
			return true
		}
	}
	return false
}

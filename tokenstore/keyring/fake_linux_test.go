package keyring_test

import (
	"os"
	"testing"

	"github.com/godbus/dbus/v5"
)

// A fake is a Secret Service that answers as a test wants it to. It lives in the
// process that asks it, on the real bus.
type fake struct {
	conn   *dbus.Conn
	unlock func() (prompt bool, err *dbus.Error)
	create func(secret string) *dbus.Error
	prompt func() // what happens once the user is asked
}

const (
	secrets    = "org.freedesktop.Secret."
	aliasPath  = dbus.ObjectPath("/org/freedesktop/secrets/aliases/default")
	promptPath = dbus.ObjectPath("/org/freedesktop/secrets/prompt/p1")
	noPath     = dbus.ObjectPath("/")
)

// serve puts f on the bus of this process's session.
func (f *fake) serve(t *testing.T) {
	t.Helper()
	conn, err := dbus.Connect(os.Getenv(addressEnv))
	if err != nil {
		t.Fatal(err)
	}
	f.conn = conn
	objects := map[dbus.ObjectPath]map[string]map[string]any{
		"/org/freedesktop/secrets":           {secrets + "Service": {"OpenSession": f.openSession, "Unlock": f.unlockPaths}},
		"/org/freedesktop/secrets/session/1": {secrets + "Session": {"Close": func() *dbus.Error { return nil }}},
		aliasPath:                            {secrets + "Collection": {"CreateItem": f.createItem, "SearchItems": f.searchItems}},
		promptPath:                           {secrets + "Prompt": {"Prompt": f.ask}},
	}
	for path, interfaces := range objects {
		for name, methods := range interfaces {
			if err := conn.ExportMethodTable(methods, path, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := conn.RequestName("org.freedesktop.secrets", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) openSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	return dbus.MakeVariant(""), "/org/freedesktop/secrets/session/1", nil
}

func (f *fake) unlockPaths(paths []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	if f.unlock == nil {
		return paths, noPath, nil
	}
	prompt, err := f.unlock()
	if prompt {
		return []dbus.ObjectPath{}, promptPath, nil
	}
	return paths, noPath, err
}

// A secret is what the interface calls so.
type secret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

func (f *fake) createItem(_ map[string]dbus.Variant, s secret, _ bool) (dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	if f.create == nil {
		return noPath, noPath, nil // and nothing is kept
	}
	return noPath, noPath, f.create(string(s.Value))
}

func (f *fake) searchItems(map[string]string) ([]dbus.ObjectPath, *dbus.Error) {
	return []dbus.ObjectPath{}, nil
}

func (f *fake) ask(string) *dbus.Error {
	if f.prompt != nil {
		go f.prompt()
	}
	return nil
}

// dismiss is a user who cancels.
func (f *fake) dismiss() {
	f.conn.Emit(promptPath, secrets+"Prompt.Completed", true, dbus.MakeVariant([]dbus.ObjectPath{}))
}

package krb5

import (
	"errors"
	"io/fs"
	"os"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/keytab"
	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
)

// A Profile is what krb5.conf says. It never changes and is safe for
// concurrent use.
type Profile struct {
	conf     *krb5conf.Profile
	settings krb5conf.Settings
}

// ReadProfile reads configuration files, of which an earlier one has precedence
// over a later one, by the rules of MIT's profile library. Without files it
// reads those that the environment variable KRB5_CONFIG names, else the
// system's; there, none being present is no error. An error about a file's
// content names file, line and text.
func ReadProfile(files ...string) (*Profile, error) {
	var (
		conf *krb5conf.Profile
		err  error
	)
	if len(files) == 0 {
		conf, err = krb5conf.LoadDefault()
	} else {
		conf, err = krb5conf.Load(files...)
	}
	if err != nil {
		return nil, profileError(err)
	}
	settings, err := conf.Settings()
	if err != nil {
		return nil, profileError(err)
	}
	return &Profile{conf: conf, settings: settings}, nil
}

func profileError(err error) error {
	e := &gss.Error{Major: gss.ErrFailure, Mech: gss.MechKrb5, Err: err}
	if ce, ok := errors.AsType[*krb5conf.Error](err); ok {
		e.Minor = ce.Minor()
		e.Hint = "mend that line of krb5.conf, or name another file in KRB5_CONFIG"
	}
	return e
}

// DefaultRealm is the realm of principals that are written without one; empty
// when the configuration names none.
func (p *Profile) DefaultRealm() string { return p.settings.DefaultRealm }

// A Keytab is a file of service keys. A file that changes is read again. It is
// safe for concurrent use.
type Keytab struct {
	name string       // as a person would find it
	file *keytab.File // nil for a keytab in memory
	mem  *keytab.Keytab
}

// OpenKeytab opens a keytab by name, "FILE:/path" or a path. It must exist and
// be readable now.
func OpenKeytab(name string) (*Keytab, error) {
	f, err := keytab.Open(name)
	if err != nil {
		return nil, keytabError(err)
	}
	return &Keytab{name: "FILE:" + f.Path(), file: f}, nil
}

// ParseKeytab makes a keytab of the content of a keytab file.
func ParseKeytab(data []byte) (*Keytab, error) {
	k, err := keytab.Parse(data)
	if err != nil {
		return nil, keytabError(err)
	}
	return &Keytab{name: "keytab in memory", mem: k}, nil
}

// Name says which keytab it is, "FILE:/path" for a file.
func (k *Keytab) Name() string { return k.name }

// current gives the present content: one stat for a file that did not change.
// The same content is the same pointer.
func (k *Keytab) current() (*keytab.Keytab, error) {
	if k.file == nil {
		return k.mem, nil
	}
	kt, err := k.file.Current()
	if err != nil {
		return nil, keytabError(err)
	}
	return kt, nil
}

// defaultKeytab opens the keytab that KRB5_KTNAME or default_keytab_name
// names.
func defaultKeytab(profile *Profile) (*Keytab, error) {
	name := os.Getenv("KRB5_KTNAME")
	if name == "" {
		name = profile.settings.DefaultKeytabName
	}
	return OpenKeytab(name)
}

// defaultClientKeytab opens the keytab that KRB5_CLIENT_KTNAME names; else the
// one of default_client_keytab_name, which is nil if it does not exist.
func defaultClientKeytab(profile *Profile) (*Keytab, error) {
	if name := os.Getenv("KRB5_CLIENT_KTNAME"); name != "" {
		return OpenKeytab(name)
	}
	kt, err := OpenKeytab(profile.settings.DefaultClientKeytabName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return kt, err
}

func keytabError(err error) error {
	e := &gss.Error{Major: gss.ErrNoCred, Mech: gss.MechKrb5, Minor: minorKeytabNotFound, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "name the keytab with -keytab or KRB5_KTNAME, or make it: kadmin -q 'ktadd -k FILE PRINCIPAL'"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "run as the user who may read the keytab, or give that user access to it"
	case errors.Is(err, keytab.ErrFormat), errors.Is(err, keytab.ErrVersion):
		e.Hint = "the file is no keytab or is damaged: see what klist -k says of it, and make it anew with ktadd"
	}
	return e
}

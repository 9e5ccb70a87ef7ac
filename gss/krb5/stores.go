package krb5

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/filelock"
	"github.com/countersign-go/countersign/gss/krb5/internal/keytab"
	"github.com/countersign-go/countersign/gss/krb5/internal/krb5conf"
	"github.com/countersign-go/countersign/gss/krb5/internal/localfile"
)

// A Profile is what krb5.conf says. It never changes and is safe for
// concurrent use.
type Profile struct {
	conf     *krb5conf.Profile
	settings krb5conf.Settings
	absent   string // where no file was found, if so: a clause for hints
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
	p := &Profile{conf: conf, settings: settings}
	if len(files) == 0 && conf.Empty() {
		p.absent = "no configuration was found: there is no krb5.conf in /etc"
		if env, ok := os.LookupEnv("KRB5_CONFIG"); ok {
			p.absent = fmt.Sprintf("no configuration was found: KRB5_CONFIG names %q, where there is none to read", env)
		}
	}
	return p, nil
}

// unconfigured puts before a hint that there is no configuration at all, where that is
// so: what fails then may fail for that alone.
func (p *Profile) unconfigured(hint string) string {
	if p.absent == "" {
		return hint
	}
	return p.absent + "; else " + hint
}

func profileError(err error) error {
	e := &gss.Error{Major: gss.ErrFailure, Mech: gss.MechKrb5, Err: err}
	ce, ok := errors.AsType[*krb5conf.Error](err)
	if !ok {
		return e
	}
	e.Minor = ce.Minor()
	where := ce.File
	if ce.Line > 0 {
		where = fmt.Sprintf("line %d of %s", ce.Line, ce.File)
	}
	e.Hint = "mend " + where + ", or name another krb5.conf in KRB5_CONFIG"
	if dir := os.Getenv("KRB5_CONFIG"); dir != "" && filepath.Clean(dir) == filepath.Dir(ce.File) {
		e.Hint = fmt.Sprintf("KRB5_CONFIG names the directory %s, all of whose configuration files are read, %s among them: name one file", dir, ce.File)
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
// be readable now; one that another program keeps locked is waited for ten seconds at
// most.
func OpenKeytab(name string) (*Keytab, error) { return openKeytab(context.Background(), name) }

func openKeytab(ctx context.Context, name string) (*Keytab, error) {
	f, err := keytab.Open(ctx, name)
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
// The same content is the same pointer. ctx bounds the wait for a file that is
// locked.
func (k *Keytab) current(ctx context.Context) (*keytab.Keytab, error) {
	if k.file == nil {
		return k.mem, nil
	}
	kt, err := k.file.Current(ctx)
	if err != nil {
		return nil, keytabError(err)
	}
	return kt, nil
}

// defaultKeytab opens the keytab that KRB5_KTNAME or default_keytab_name
// names.
func defaultKeytab(ctx context.Context, profile *Profile) (*Keytab, error) {
	name := os.Getenv("KRB5_KTNAME")
	if name == "" {
		name = profile.settings.DefaultKeytabName
	}
	return openKeytab(ctx, name)
}

// defaultClientKeytab opens the keytab that KRB5_CLIENT_KTNAME names; else the
// one of default_client_keytab_name, which is nil if it does not exist.
func defaultClientKeytab(ctx context.Context, profile *Profile) (*Keytab, error) {
	if name := os.Getenv("KRB5_CLIENT_KTNAME"); name != "" {
		return openKeytab(ctx, name)
	}
	kt, err := openKeytab(ctx, profile.settings.DefaultClientKeytabName)
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
	case errors.Is(err, filelock.ErrLocked):
		e.Major, e.Minor, e.Hint = gss.ErrFailure, 0, hintLocked
	case errors.Is(err, keytab.ErrType):
		e.Hint = "a keytab is a file here: write FILE:/path or /path"
	case errors.Is(err, localfile.ErrNotRegular):
		e.Hint = "name the keytab file itself, such as /etc/krb5.keytab"
	case errors.Is(err, keytab.ErrFormat), errors.Is(err, keytab.ErrVersion):
		e.Hint = "the file is no keytab or is damaged: see what klist -k says of it, and make it anew with ktadd"
	}
	return e
}

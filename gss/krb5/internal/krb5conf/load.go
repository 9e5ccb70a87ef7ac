package krb5conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Bounds on what is read, far above any real configuration.
const (
	maxFile    = 1 << 20 // bytes a file
	maxTotal   = 8 << 20 // bytes of all files of a profile
	maxFiles   = 1024    // files of a profile, so that includes end
	maxInclude = 16      // depth of includes, so that loops end
)

// defaultFiles are read where KRB5_CONFIG is not set, as Debian's C library
// has them.
var defaultFiles = []string{"/etc/krb5.conf", "/usr/local/etc/krb5.conf"}

// reader reads the files of one profile and keeps count of the bounds.
type reader struct {
	readFile func(name string) ([]byte, error)
	readDir  func(name string) ([]fs.DirEntry, error)
	files    int
	total    int
}

func newReader() *reader {
	return &reader{readFile: readFile, readDir: os.ReadDir}
}

// Load reads the files, of which an earlier one has precedence over a later
// one. A directory stands for the files in it that includedir would take.
// Files that do not exist or may not be read are skipped as long as one is
// there; if none is, the error of the first is returned. Contents that cannot be
// read are an [*Error].
func Load(files ...string) (*Profile, error) {
	p, missing, err := load(files)
	if err != nil {
		return nil, err
	}
	if len(p.files) == 0 && missing != nil {
		return nil, missing
	}
	return p, nil
}

// LoadDefault reads the files named by the environment variable KRB5_CONFIG,
// colon separated, or else the system's. As with the C library it is no error
// if none of them is there: the profile is then empty.
func LoadDefault() (*Profile, error) {
	files := defaultFiles
	if env, ok := os.LookupEnv("KRB5_CONFIG"); ok {
		files = strings.Split(env, string(os.PathListSeparator))
	}
	p, _, err := load(files)
	return p, err
}

// Empty reports whether no file was there to be read.
func (p *Profile) Empty() bool { return len(p.files) == 0 }

func load(files []string) (p *Profile, missing, err error) {
	r := newReader()
	p = new(Profile)
	for _, name := range files {
		if name == "" {
			continue
		}
		root := &section{}
		err := r.load(name, root)
		var fault *Error
		switch {
		case errors.As(err, &fault): // such as an include of a file that is not there
			return nil, nil, err
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
			if missing == nil {
				missing = err
			}
		case err != nil:
			return nil, nil, err
		default:
			p.files = append(p.files, root)
		}
	}
	return p, missing, nil
}

func (r *reader) load(name string, root *section) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return r.directory(name, root, 0)
	}
	text, err := r.read(name)
	if err != nil {
		return err
	}
	return r.parse(name, text, root, 0)
}

// read gives the contents of a file within the bounds.
func (r *reader) read(name string) ([]byte, error) {
	if r.files++; r.files > maxFiles {
		return nil, newError(name, 0, "", fmt.Errorf("more than %d files", maxFiles))
	}
	text, err := r.readFile(name)
	if err != nil {
		return nil, err
	}
	if r.total += len(text); r.total > maxTotal {
		return nil, newError(name, 0, "", fmt.Errorf("more than %d bytes in all files", maxTotal))
	}
	return text, nil
}

// patience is how long a pipe may take to give the configuration.
const patience = 5 * time.Second

var errNotFile = errors.New("neither a regular file nor a pipe")

func readFile(name string) ([]byte, error) { return readFileWithin(name, patience) }

func readFileWithin(name string, patience time.Duration) ([]byte, error) {
	// A pipe that nobody writes to reads as empty, rather than for ever.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// The null device is how a program is given no configuration; others, such as a
	// terminal, might never end.
	if info.Mode()&fs.ModeDevice != 0 && !isNull(info) {
		return nil, newError(name, 0, "", errNotFile)
	}
	_ = f.SetReadDeadline(time.Now().Add(patience)) // fails for what never makes wait
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, newError(name, 0, "", fmt.Errorf("does not end within %v: %w", patience, os.ErrDeadlineExceeded))
	}
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, newError(name, 0, "", fmt.Errorf("file is larger than %d bytes", maxFile))
	}
	return text, nil
}

func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

var errRelativePath = errors.New("path is not absolute")

// include reads the file of an include line.
func (r *reader) include(name string, from *fileState) error {
	if err := checkInclude(name, from); err != nil {
		return err
	}
	text, err := r.read(name)
	if err != nil {
		return fmt.Errorf("included file could not be read: %w", err)
	}
	return r.parse(name, text, from.root, from.depth+1)
}

// includeDir reads the files of an includedir line.
func (r *reader) includeDir(name string, from *fileState) error {
	if err := checkInclude(name, from); err != nil {
		return err
	}
	return r.directory(name, from.root, from.depth+1)
}

func checkInclude(name string, from *fileState) error {
	if !filepath.IsAbs(name) {
		return errRelativePath
	}
	if from.depth >= maxInclude {
		return fmt.Errorf("includes are nested deeper than %d: is there a loop?", maxInclude)
	}
	return nil
}

// directory reads the configuration files of a directory in the order of
// their names.
func (r *reader) directory(name string, root *section, depth int) error {
	entries, err := r.readDir(name)
	if err != nil {
		return fmt.Errorf("included directory could not be read: %w", err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if e.IsDir() || !isConfigName(e.Name()) {
			continue
		}
		path := filepath.Join(name, e.Name())
		text, err := r.read(path)
		if err != nil {
			return fmt.Errorf("included file could not be read: %w", err)
		}
		if err := r.parse(path, text, root, depth); err != nil {
			return err
		}
	}
	return nil
}

// isConfigName says whether a file of an included directory is read: names of
// letters, digits, dashes and underscores, or ending in ".conf" and not
// beginning with a dot.
func isConfigName(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	if strings.HasSuffix(name, ".conf") {
		return true
	}
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

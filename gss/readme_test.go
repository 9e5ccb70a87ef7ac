package gss_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign-go/countersign/gss/gsstest"
)

// section gives the README's text from a heading to the next of its level.
func section(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "\n"+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	text, _, _ := strings.Cut(after, "\n"+level+" ")
	return text
}

// codeBlock gives the only code block of a language in a text.
func codeBlock(t *testing.T, text, language string) string {
	t.Helper()
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	if len(blocks) != 1 {
		t.Fatalf("the README's section has %d code blocks in %s, want 1", len(blocks), language)
	}
	return blocks[0][1]
}

// What the README tells users of the library to do works: a module outside the
// tree, with its lines and its program, builds, and the program runs in a realm.
func TestReadmeProgram(t *testing.T) {
	library := section(t, "## As a library")
	tree, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	requirement := codeBlock(t, library, "gomod")
	if n := strings.Count(requirement, "../countersign"); n != 1 {
		t.Fatalf("the replace line names ../countersign %d times, want 1:\n%s", n, requirement)
	}
	requirement = strings.Replace(requirement, "../countersign", tree, 1)
	sums, err := os.ReadFile(filepath.Join(tree, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("go.mod", "module example.test/user\n\ngo 1.26.0\n\n"+requirement)
	write("go.sum", string(sums))
	write("main.go", codeBlock(t, library, "go"))

	// The modules that this one needs are already here; -mod=mod completes
	// go.mod as go mod tidy would, without the network.
	program := filepath.Join(dir, "user.exe")
	build := exec.Command("go", "build", "-mod=mod", "-o", program, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, out)
	}

	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.TEST"})
	if err != nil {
		t.Fatal(err)
	}
	defer realm.Close()
	if err := realm.AddUser("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := realm.AddService("host/server.example"); err != nil {
		t.Fatal(err)
	}
	keytab, err := realm.Keytab("host/server.example")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := realm.CCache("alice")
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(program)
	run.Env = append(os.Environ(),
		"KRB5_CONFIG="+write("krb5.conf", string(realm.Krb5Conf())),
		"KRB5_KTNAME=FILE:"+write("service.keytab", string(keytab)),
		"KRB5CCNAME=FILE:"+write("ccache", string(cache)),
		"KRB5RCACHEDIR="+dir,
	)
	var stderr bytes.Buffer
	run.Stderr = &stderr
	out, err := run.Output()
	const want = "alice@EXAMPLE.TEST sent \"hello\", encrypted: true\nsignature verified\n"
	if err != nil || string(out) != want {
		t.Errorf("the program ended with %v and printed:\n%s%swant:\n%s", err, out, &stderr, want)
	}
}

// The README's tables and the programs' help name the same options, with the
// same defaults where these are numbers.
func TestReadmeOptions(t *testing.T) {
	bin := t.TempDir()
	for _, program := range []string{"gss-server", "gss-client"} {
		t.Run(program, func(t *testing.T) {
			path := filepath.Join(bin, program+".exe")
			if out, err := exec.Command("go", "build", "-o", path, "../cmd/"+program).CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			help, err := exec.Command(path, "--help").Output()
			if err != nil {
				t.Fatalf("--help: %v", err)
			}
			documented := make(map[string]string) // option to its row
			for _, row := range regexp.MustCompile("(?m)^\\| `-.*$").FindAllString(section(t, "## "+program), -1) {
				names, _, _ := strings.Cut(row[2:], " | ")
				for _, option := range regexp.MustCompile("`-([a-z0-9-]+)").FindAllStringSubmatch(names, -1) {
					documented[option[1]] = row
				}
			}
			options, _, _ := bytes.Cut(help, []byte("Exit status"))
			offered := regexp.MustCompile(`(?m)^ +(?:-\w, )?--?([a-z0-9-]+)\b(.*(?:\n {12,}.*)*)`).FindAllSubmatch(options, -1)
			if len(offered) < 5 {
				t.Fatalf("the help offers %d options:\n%s", len(offered), help)
			}
			number := regexp.MustCompile(`\((?:default )?(\d+)\)`)
			for _, option := range offered {
				name := string(option[1])
				row, ok := documented[name]
				delete(documented, name)
				if name == "help" {
					continue
				}
				if !ok {
					t.Errorf("the README does not document -%s", name)
				} else if value := number.FindSubmatch(option[2]); value != nil && !strings.Contains(row, "| "+string(value[1])+" |") {
					t.Errorf("-%s: the default is %s, the README says:\n%s", name, value[1], row)
				}
			}
			for name := range documented {
				if !regexp.MustCompile(`(?m)(^|[ ,])--?` + name + `\b`).Match(help) {
					t.Errorf("the README documents -%s, which the help does not name", name)
				}
			}
		})
	}
}

// Every environment variable that the code reads is in the README's table, and
// in the manual pages of the programs that the table says read it.
func TestReadmeEnvironment(t *testing.T) {
	pages := make(map[string]string)
	for _, program := range []string{"gss-server", "gss-client"} {
		page, err := os.ReadFile("../cmd/" + program + "/" + program + ".1")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(strings.ToUpper(string(page)), "\n.SH ENVIRONMENT\n")
		pages[program], _, _ = strings.Cut(after, "\n.SH ")
	}
	name := regexp.MustCompile("`([A-Z0-9_]+)`")
	documented := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `.*$").FindAllString(section(t, "## Environment"), -1) {
		programs := strings.Split(row, " | ")[1]
		for _, variable := range name.FindAllStringSubmatch(row, -1) {
			documented[variable[1]] = true
			for program, page := range pages {
				if strings.Contains(programs, program) && !regexp.MustCompile(`\b`+variable[1]+`\b`).MatchString(page) {
					t.Errorf("the manual page of %s does not document %s", program, variable[1])
				}
			}
		}
	}

	read := 0
	getenv := regexp.MustCompile(`(?i)(?:getenv|lookupenv)\("([^"]+)"`)
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "gsstest" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, variable := range getenv.FindAllSubmatch(source, -1) {
			read++
			if !documented[string(variable[1])] {
				t.Errorf("%s reads %s, which the README does not document", path, variable[1])
			}
		}
		return err
	})
	if err != nil || read < 10 {
		t.Errorf("found %d reads of the environment: %v", read, err)
	}
}

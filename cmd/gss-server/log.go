package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/sirupsen/logrus"
)

// openLog makes the log that the options ask for, nil if none is wanted. When
// the log file cannot be opened it gives the log that there would be without
// one, beside the error. reopen opens the log file anew, after it was renamed.
func openLog(opts options, inetd bool) (log *logrus.Logger, reopen func() error, err error) {
	log = logrus.New()
	log.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	if opts.logFormat == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	if opts.verbose {
		log.SetLevel(logrus.DebugLevel)
	}
	reopen = func() error { return nil }

	switch opts.logFile {
	case os.DevNull:
		return nil, reopen, nil
	case "", "-":
	default:
		file, ferr := openLogFile(opts.logFile)
		if ferr == nil {
			log.SetOutput(file)
			return log, func() error {
				next, err := openLogFile(opts.logFile)
				if err != nil {
					return err
				}
				log.SetOutput(next) // waits for records being written
				_ = file.Close()    // every record was written by one call
				file = next
				return nil
			}, nil
		}
		err = ferr
	}
	if !inetd {
		log.SetOutput(os.Stderr)
		return log, reopen, err
	}
	log.SetOutput(io.Discard)
	if serr := addSyslog(log); serr != nil {
		return nil, reopen, err // without syslog there is no place for records
	}
	return log, reopen, err
}

func openLogFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
}

func logFileHint(err error) string {
	switch {
	case errors.Is(err, syscall.EISDIR):
		return "-logfile takes the name of a file in it"
	case errors.Is(err, fs.ErrNotExist):
		return "make the directory, or name another file"
	case errors.Is(err, fs.ErrPermission):
		return "the user that the server runs as has to be able to write it"
	}
	return ""
}

// Package filelock takes the advisory whole-file locks that MIT's library takes on keytabs, credential caches and replay
// caches, so that both can use one file at one time.
//
// On Linux these are open-file-description locks, which belong to the descriptor: two descriptors of one process exclude each
// other, and closing one leaves the other's lock in place. Other Unix systems have POSIX record locks, which belong to the
// process; there a mutex of the process adds what they lack. On Windows, where MIT's library locks otherwise and shares no
// files with this one, only that mutex is taken.
package filelock

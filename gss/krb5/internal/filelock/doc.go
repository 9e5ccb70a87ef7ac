// Package filelock takes the advisory whole-file locks that MIT's library takes on keytabs, credential caches and replay
// caches, so that both can use one file at one time.
//
// On Linux these are open-file-description locks, which belong to the descriptor: two descriptors of one process exclude each
// other, and closing one leaves the other's lock in place. Other Unix systems have POSIX record locks, which belong to the
// process; there a mutex of the process adds what they lack. On Windows, where MIT's library locks otherwise and shares no
// files with this one, only that mutex is taken.
//
// A lock that is taken is asked for again and again, as the system's own waiting can be ended by a signal only: whoever may
// read a file may lock it for good, and a thread left waiting for each attempt would in the end be all the threads there are.
package filelock

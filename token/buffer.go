package token

import "sync"

// Buffers come in classes, each four times the one before: 4 KiB, 16 KiB, ... 16 MiB of data with room for a header. They
// are shared by all Conns, so that neither a steady stream of frames allocates nor an idle Conn holds what its last large
// frame needed. What is not used the garbage collector takes back.
const (
	smallestClass = 4 << 10
	growth        = 4
	classCount    = 7
)

var pools [classCount]sync.Pool

func classSize(i int) int {
	size := smallestClass
	for range i {
		size *= growth
	}
	return size + maxHeader
}

// nextClass is the size of the class after that of the given size, and of what would be one after the largest.
func nextClass(size int) int { return growth*(size-maxHeader) + maxHeader }

// bufferSize is the length of what takeBuffer(n) gives.
func bufferSize(n int) int {
	for i := range pools {
		if size := classSize(i); n <= size {
			return size
		}
	}
	return n
}

// takeBuffer gives a buffer of at least n bytes, of unspecified content. Beyond the largest class it is n bytes.
func takeBuffer(n int) *[]byte {
	for i := range pools {
		size := classSize(i)
		if n > size {
			continue
		}
		if p, ok := pools[i].Get().(*[]byte); ok {
			return p
		}
		b := make([]byte, size)
		return &b
	}
	b := make([]byte, n)
	return &b
}

// giveBuffer takes back what takeBuffer gave. What is larger than the largest class is left to the garbage collector.
func giveBuffer(p *[]byte) {
	for i := range pools {
		if len(*p) == classSize(i) {
			pools[i].Put(p)
			return
		}
	}
}

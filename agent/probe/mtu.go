package probe

import "slices"

// Sizes are the packets that a path is tried with, in bytes with their IPv4 headers: what every link must carry, steps of
// what tunnels and clouds take away from Ethernet's 1500, and the clouds' large ones.
var Sizes = []int{576, 1200, 1280, 1300, 1320, 1340, 1360, 1380, 1400, 1410, 1420, 1430, 1440, 1450, 1460, 1470, 1480, 1492, 1500, 4000, 8896, 9000, 9001}

// largest is the largest of sizes, in ascending order, that is carried; 0 when none is. It takes for granted that what is
// smaller than something carried is carried too.
func largest(sizes []int, carries func(size int) bool) int {
	if len(sizes) == 0 || !carries(sizes[0]) {
		return 0
	}
	low, high := 0, len(sizes) // sizes[low] is carried, sizes[high] isn't
	// Most paths carry what Ethernet does, and nothing more: two tries.
	if i, ok := slices.BinarySearch(sizes, ethernet); ok && i > 0 {
		if carries(ethernet) {
			low = i
			if i+1 < len(sizes) && !carries(sizes[i+1]) {
				return ethernet
			}
		} else {
			high = i
		}
	}
	for high-low > 1 {
		middle := (low + high) / 2
		if carries(sizes[middle]) {
			low = middle
		} else {
			high = middle
		}
	}
	return sizes[low]
}

const ethernet = 1500

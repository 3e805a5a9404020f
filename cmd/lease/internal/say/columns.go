package say

// Gap is how wide the room between two cells of a table is.
const Gap = 2

// Squeeze makes columns, as wide as their cells and the gaps after them, narrower until all fit:
// those with the most for their weight first, those without a weight not at all, and none to less
// than so much.
func Squeeze(widths, weights []int, least, room int) {
	for excess := Sum(widths) - room; excess > 0; excess-- {
		widest := -1
		for n, weight := range weights {
			if weight == 0 || widths[n] <= least+Gap {
				continue
			}
			if widest < 0 || widths[n]*weights[widest] > widths[widest]*weight {
				widest = n
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func Sum(numbers []int) int {
	all := 0
	for _, n := range numbers {
		all += n
	}
	return all
}

package checkout

import "math/bits"

// The one rounding rule: half away from zero. A share is rounded once, per line.

// mulDiv returns a × b / c, rounded, for non-negative a and b and positive c, or false
// when it is more than [MaxUnits].
func mulDiv(a, b, c int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, carry := bits.Add64(lo, uint64(c)/2, 0)
	hi += carry
	if hi >= uint64(c) {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	if q > MaxUnits {
		return 0, false
	}
	return int64(q), true
}

// mul returns a × b for non-negative numbers, or false when it is more than [MaxUnits].
func mul(a, b int64) (int64, bool) { return mulDiv(a, b, 1) }

// sum adds up numbers, or returns false when a partial sum lies beyond [MaxUnits].
func sum(numbers ...int64) (int64, bool) {
	var total int64
	for _, n := range numbers {
		total += n // cannot wrap: both are within 2^53
		if total > MaxUnits || total < -MaxUnits {
			return 0, false
		}
	}
	return total, true
}

// spread divides amount among weights in proportion, so that the shares add up to it:
// what rounding leaves over goes to the largest remainders, the first of equal ones
// first. No share is more than its weight as long as amount is not more than their sum.
func spread(amount int64, weights []int64) []int64 {
	shares := make([]int64, len(weights))
	whole, ok := sum(weights...)
	if !ok || whole <= 0 {
		return shares
	}
	remainders := make([]uint64, len(weights))
	left := amount
	for i, w := range weights {
		hi, lo := bits.Mul64(uint64(amount), uint64(w))
		// It cannot fail: amount and w are below 2^53 and w is at most whole, so that
		// hi is below whole.
		q, r := bits.Div64(hi, lo, uint64(whole))
		shares[i], remainders[i], left = int64(q), r, left-int64(q)
	}
	for ; left > 0; left-- {
		best := -1
		for i, r := range remainders {
			if r > 0 && (best < 0 || r > remainders[best]) {
				best = i
			}
		}
		if best < 0 {
			return shares // not reached: what is left over is the remainders' sum over whole
		}
		shares[best]++
		remainders[best] = 0
	}
	return shares
}

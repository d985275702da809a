package analytics

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// A latency's bucket is one of four for each doubling from 0.1 ms to 104 s, or
// one below or above.
const (
	firstBound  = 100 // microseconds
	doublings   = 20
	numBuckets  = 4*doublings + 2
	bucketError = 0.0905 // 2^(1/8) - 1: how far the middle of a bucket is from its ends
)

// bounds are the lower bounds of buckets 1 to numBuckets-1, in microseconds.
var bounds = func() (b [numBuckets - 1]int64) {
	for i := range b {
		b[i] = int64(math.Ceil(firstBound * math.Exp2(float64(i)/4)))
	}
	return b
}()

// bucketOf returns the bucket of a latency in microseconds.
func bucketOf(us int64) int {
	if us < firstBound {
		return 0
	}
	doubling := bits.Len64(uint64(us)/firstBound) - 1
	if doubling >= doublings {
		return numBuckets - 1
	}
	i := 4 * doubling
	for range 3 {
		if us < bounds[i+1] {
			break
		}
		i++
	}
	return i + 1
}

// Latency counts requests by how long they took, in buckets that can be merged.
// The zero Latency is empty.
type Latency [numBuckets]int64

// Observe counts one request.
func (l *Latency) Observe(d time.Duration) { l[bucketOf(d.Microseconds())]++ }

// Add merges another Latency into this one.
func (l *Latency) Add(other *Latency) {
	for i, n := range other {
		l[i] = add(l[i], n)
	}
}

// Count returns the number of requests.
func (l *Latency) Count() (n int64) {
	for _, each := range l {
		n = add(n, each)
	}
	return n
}

// Percentile returns the latency that the share p of requests, 0 to 1, did not
// exceed, and by which share of it the truth may differ: the middle of the bucket
// that it is in. Without requests ok is false.
func (l *Latency) Percentile(p float64) (d time.Duration, relativeError float64, ok bool) {
	n := l.Count()
	if n == 0 {
		return 0, 0, false
	}
	rank := min(max(int64(math.Ceil(p*float64(n))), 1), n)
	for i, each := range l {
		if rank -= each; rank > 0 {
			continue
		}
		switch i {
		case 0:
			return firstBound * time.Microsecond / 2, 1, true
		case numBuckets - 1:
			return time.Duration(bounds[i-1]) * time.Microsecond, 1, true
		}
		return time.Duration(firstBound*math.Exp2((float64(i)-0.5)/4)) * time.Microsecond, bucketError, true
	}
	return 0, 0, false // the ranks end before
}

// sparse counts requests by how long they took, too, in less memory: most tenants and patterns
// have few buckets in a minute or an hour. They are in ascending order.
type sparse []bucketCount

type bucketCount struct {
	bucket uint8
	n      uint32
}

// observe counts one request that took so many microseconds.
func (s *sparse) observe(us int64) { s.count(uint8(bucketOf(us)), 1) } // there are few

// find returns where the bucket is, or would be.
func (s sparse) find(bucket uint8) (i int, found bool) {
	return slices.BinarySearchFunc(s, bucket, func(b bucketCount, bucket uint8) int { return int(b.bucket) - int(bucket) })
}

func (s *sparse) count(bucket uint8, n uint32) {
	i, found := s.find(bucket)
	if !found {
		*s = slices.Insert(*s, i, bucketCount{bucket: bucket})
	}
	b := &(*s)[i]
	b.n += min(n, math.MaxUint32-b.n)
}

// pack returns the buckets as bytes: for each that is not empty, as varints, how
// many empty ones are before it, and its count. No bytes are an empty Latency.
func (l *Latency) pack() []byte {
	var out []byte
	gap := uint64(0)
	for _, n := range l {
		if n <= 0 {
			gap++
			continue
		}
		out = binary.AppendUvarint(out, gap)
		out = binary.AppendUvarint(out, uint64(n))
		gap = 0
	}
	return out
}

// unpack reads what pack wrote, and adds it.
func (l *Latency) unpack(packed []byte) error {
	for i := uint64(0); len(packed) > 0; i++ {
		gap, n := binary.Uvarint(packed)
		if n <= 0 || gap >= numBuckets {
			return errPacked
		}
		packed = packed[n:]
		count, n := binary.Uvarint(packed)
		if i += gap; n <= 0 || i >= numBuckets || count > math.MaxInt64 {
			return errPacked
		}
		packed = packed[n:]
		l[i] = add(l[i], int64(count))
	}
	return nil
}

var errPacked = fmt.Errorf("%w: buckets of latency that cannot be read", tenancy.ErrInvalid)

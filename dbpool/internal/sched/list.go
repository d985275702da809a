package sched

// list is a doubly linked list whose nodes its owners keep, so that taking one
// out of the middle costs nothing.
type list[T any] struct {
	head, tail *node[T]
	n          int
}

type node[T any] struct {
	value      T
	prev, next *node[T]
	owner      *list[T]
}

func (l *list[T]) len() int { return l.n }

func (l *list[T]) push(v T) *node[T] {
	n := &node[T]{value: v, prev: l.tail, owner: l}
	if l.tail == nil {
		l.head = n
	} else {
		l.tail.next = n
	}
	l.tail = n
	l.n++
	return n
}

func (l *list[T]) remove(n *node[T]) {
	if n.prev == nil {
		l.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	l.n--
}

// all yields the values from the head. The one that was yielded last may be
// removed meanwhile.
func (l *list[T]) all() func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for n := l.head; n != nil; {
			next := n.next
			if !yield(n.value) {
				return
			}
			n = next
		}
	}
}

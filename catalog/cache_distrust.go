package catalog

// distrust lets everything be loaded again before it is used, because changes may
// have been missed. What is there remains for when the origin fails.
func (m *memory) distrust() {
	m.mu.Lock()
	m.change++
	m.lost = m.change
	m.unknown.clear()
	clear(m.flights)
	m.mu.Unlock()
	for i := range m.table.parts {
		m.mu.Lock()
		m.table.each(i, func(n *node) { n.loaded.Store(distrusted) })
		m.mu.Unlock()
	}
}

// each calls fn with the nodes of one part.
func (t *table) each(part int, fn func(*node)) {
	b := t.parts[part].buckets.Load()
	for i := range b.heads {
		for n := b.heads[i].Load(); n != nil; n = n.next.Load() {
			fn(n)
		}
	}
}

func (u *unknown) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.now)
	clear(u.old)
}

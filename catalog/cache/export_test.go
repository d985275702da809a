package cache

// Distrust does what the cache does when Redis has lost changes.
func (c *Cache) Distrust() { c.memory.distrust() }

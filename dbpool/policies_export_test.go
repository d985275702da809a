package dbpool

import "math/rand/v2"

// Candidates returns the names of the policies that were compared, that of
// production first.
func Candidates() (names []string) {
	for _, c := range candidates() {
		names = append(names, c.name)
	}
	return names
}

// SetPolicy makes a pool that was not used yet choose by the candidate of that
// name.
func (p *Pool) SetPolicy(name string) {
	for _, c := range candidates() {
		for _, s := range p.servers {
			if c.name == name {
				s.budget.policy = c.make(s.budget)
			}
		}
	}
}

// BeginLoad returns the number of queries of a request and the tenant of each
// request in turn.
func BeginLoad(name string, tenants, requests int) (queries int, tenant func(i int) int) {
	for _, l := range loads() {
		if l.name == name {
			return l.queries, l.begin(rand.New(rand.NewPCG(1, 3)), tenants, requests)
		}
	}
	return 0, nil
}

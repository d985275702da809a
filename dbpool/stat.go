package dbpool

import "time"

// Stat is what a server's connections are and did, since the pool was made.
type Stat struct {
	// Budget is the most there may be; Conns how many there are, in use, idle,
	// being dialled and being closed.
	Budget  int `json:"budget"`
	Conns   int `json:"conns"`
	InUse   int `json:"in_use"`
	Idle    int `json:"idle"`
	Dialing int `json:"dialing"`
	// Waiting is the number of requests that wait now.
	Waiting int `json:"waiting"`
	// Requests counts connections asked for. Of those, Waits had to wait,
	// WaitTime in all; HandOvers got one that their tenant gave back or that
	// was dialled; Refused did not wait because it was hopeless; GaveUp waited
	// in vain.
	Requests  int64         `json:"requests"`
	Waits     int64         `json:"waits"`
	WaitTime  time.Duration `json:"wait_time"`
	HandOvers int64         `json:"hand_overs"`
	Refused   int64         `json:"refused"`
	GaveUp    int64         `json:"gave_up"`
	// Dials counts connections begun, Failures those that failed, Evictions
	// those that took the place of an idle one.
	Dials     int64 `json:"dials"`
	Failures  int64 `json:"failures"`
	Evictions int64 `json:"evictions"`
}

// DialsPerRequest tells whether the tenants that are busy at a time fit into the
// budget: next to nothing when they do, towards one when nearly every request
// needs a connection of its own dialled. Then only a larger budget helps.
func (s Stat) DialsPerRequest() float64 {
	if s.Requests == 0 {
		return 0
	}
	return float64(s.Dials) / float64(s.Requests)
}

// Stat returns the figures of the server of that name, or the zero Stat.
func (p *Pool) Stat(server string) Stat {
	p.mu.RLock()
	s, ok := p.servers[server]
	p.mu.RUnlock()
	if !ok {
		return Stat{}
	}
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.stat
	out.Conns, out.Idle, out.Dialing = g.live, len(g.idle), g.dialing
	return out
}

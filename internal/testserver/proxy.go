//go:build unix

package testserver

import (
	"context"
	"net"
	"sync"
	"time"
)

// Fault is what a [Proxy] does to the connections that go through it. The zero
// value passes everything on.
type Fault struct {
	Silent  bool          // nothing arrives on either side, and nobody hangs up
	Hush    bool          // requests arrive, answers do not
	Cut     bool          // requests arrive, and instead of the answer the connection ends
	After   int           // so many answers arrive before Cut applies
	Delayed time.Duration // each part of an answer arrives that much later
}

// Proxy passes TCP connections on to a server, and injects faults. Its methods may
// be called at any time, by many goroutines at once.
type Proxy struct {
	Addr string // where it listens, host:port

	mu       sync.Mutex // guards what follows
	server   string
	listener net.Listener // nil while stopped
	fault    *fault       // of connections to come
	links    map[*link]bool
}

// fault is a Fault that applies until changed is closed.
type fault struct {
	Fault
	changed chan struct{}
}

// link is one connection and its continuation. The proxy's lock guards fault, asked and
// answers.
type link struct {
	client, server net.Conn
	fault          *fault
	asked          bool // since the last answer began
	answers        int  // since the fault began
	ended          chan struct{}
	end            sync.Once
}

// StartProxy starts a proxy for the server at a host:port, on a free port of
// 127.0.0.1. The caller stops it.
func StartProxy(server string) (*Proxy, error) {
	p := &Proxy{Addr: "127.0.0.1:0", server: server, fault: newFault(Fault{}), links: map[*link]bool{}}
	return p, p.Start()
}

func newFault(f Fault) *fault { return &fault{f, make(chan struct{})} }

// Start listens again, where it did before.
func (p *Proxy) Start() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.Addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Addr, p.listener = l.Addr().String(), l
	go p.accept(l)
	return nil
}

// Stop refuses new connections and ends those that are there.
func (p *Proxy) Stop() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.CutAll()
}

// CutAll ends the connections that are there.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Lead passes connections to come on to another server.
func (p *Proxy) Lead(server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = server
}

// Inject sets the fault of all connections.
func (p *Proxy) Inject(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.injectOpen(f)
	p.fault = newFault(f) // with the same lock, or one that comes between would keep the fault of before
}

// InjectOpen sets the fault of the connections that are there, not of those to come.
func (p *Proxy) InjectOpen(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.injectOpen(f)
}

func (p *Proxy) injectOpen(f Fault) {
	for l := range p.links {
		close(l.fault.changed)
		l.fault = newFault(f)
		l.answers = 0
	}
}

// Open returns the number of connections that are there.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	to := p.server
	p.mu.Unlock()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	l := &link{client: client, server: server, fault: newFault(p.fault.Fault), ended: make(chan struct{})}
	p.links[l] = true
	stopped := p.listener == nil
	p.mu.Unlock()
	if stopped {
		l.close()
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(l, server, client, false) })
	both.Go(func() { p.pass(l, client, server, true) })
	both.Wait()
	l.close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pass passes on what one side sends, and its end.
func (p *Proxy) pass(l *link, to, from net.Conn, answers bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.count(l, answers)
		}
		for waiting := true; waiting; {
			f := p.faultOf(l)
			switch {
			case err != nil && f.Silent: // the end does not arrive either
				select {
				case <-f.changed:
				case <-l.ended:
					return
				}
				continue
			case f.Silent, f.Hush && answers:
				n = 0
			case f.Cut && answers && n > 0 && p.answersOf(l) > f.After:
				l.close()
				return
			case f.Delayed > 0 && answers && n > 0:
				select {
				case <-time.After(f.Delayed):
				case <-f.changed:
				case <-l.ended:
					return
				}
			}
			waiting = false
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				l.close()
				return
			}
		}
		if err != nil {
			_ = to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

// count notes what came over a link. An answer may come in parts.
func (p *Proxy) count(l *link, answer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer && l.asked {
		l.answers++
	}
	l.asked = !answer
}

func (p *Proxy) answersOf(l *link) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.answers
}

func (p *Proxy) faultOf(l *link) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.fault
}

func (l *link) close() {
	l.end.Do(func() { close(l.ended) })
	_ = l.client.Close()
	_ = l.server.Close()
}

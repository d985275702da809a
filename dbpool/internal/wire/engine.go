package wire

import "github.com/artflow-studio/tenancy/dbpool/driver"

// Engine is a server's engine with what it can do, which is found once. Two values of one
// [driver.Engine] are two engines: no connection is switched from one to the other.
type Engine struct {
	driver.Engine

	// Nil if it has not the ability.
	cleaner     driver.SessionCleaner
	closes      driver.CloseNotifier
	faults      driver.FaultClassifier
	files       driver.FileBacked
	settings    driver.SettingsChecker
	switcher    driver.Switcher
	killer      driver.SessionKiller
	failures    driver.FailureClassifier
	sends       driver.SendCounter
	interrupts  driver.Interrupter
	replication driver.Replication

	singleWriter bool // its databases take one writer at a time
}

// NewEngine finds what an engine can do.
func NewEngine(of driver.Engine) *Engine {
	e := &Engine{Engine: of}
	e.cleaner, _ = of.(driver.SessionCleaner)
	e.closes, _ = of.(driver.CloseNotifier)
	e.faults, _ = of.(driver.FaultClassifier)
	e.files, _ = of.(driver.FileBacked)
	e.settings, _ = of.(driver.SettingsChecker)
	e.switcher, _ = of.(driver.Switcher)
	e.killer, _ = of.(driver.SessionKiller)
	e.failures, _ = of.(driver.FailureClassifier)
	e.sends, _ = of.(driver.SendCounter)
	e.interrupts, _ = of.(driver.Interrupter)
	e.replication, _ = of.(driver.Replication)
	w, ok := of.(driver.SingleWriter)
	e.singleWriter = ok && w.SingleWriter()
	return e
}

package analytics

import (
	"encoding/json"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Counts is what was counted: of one tenant or of many, in one period.
type Counts struct {
	// Values are indexed by [Column].
	Values  [numColumns]int64
	Latency Latency
	// Own are the application's own counts, by name.
	Own map[string]int64
}

// Get returns the value of a column.
func (c *Counts) Get(col Column) int64 { return c.Values[col] }

// Errors returns the number of requests that the service failed to answer.
func (c *Counts) Errors() int64 { return c.Values[Status5xx] }

// Add merges other counts into these. What is a maximum stays one.
func (c *Counts) Add(other *Counts) {
	for i, v := range other.Values {
		if columnInfos[i].largest {
			c.Values[i] = max(c.Values[i], v)
		} else {
			c.Values[i] = add(c.Values[i], v)
		}
	}
	c.Latency.Add(&other.Latency)
	for name, n := range other.Own {
		if c.Own == nil {
			c.Own = make(map[string]int64, len(other.Own))
		}
		c.Own[name] = add(c.Own[name], n)
	}
}

// subtract takes away what others had. What is a maximum stays.
func (c *Counts) subtract(other *Counts) {
	for i, v := range other.Values {
		if !columnInfos[i].largest {
			c.Values[i] = max(0, c.Values[i]-v)
		}
	}
	for i, n := range other.Latency {
		c.Latency[i] = max(0, c.Latency[i]-n)
	}
	own := make(map[string]int64, len(c.Own))
	for name, n := range c.Own {
		if n -= other.Own[name]; n > 0 {
			own[name] = n
		}
	}
	c.Own = own
}

// packOwn returns the application's own counts as a JSON object, or "".
func (c *Counts) packOwn() (string, error) {
	if len(c.Own) == 0 {
		return "", nil
	}
	b, err := json.Marshal(c.Own)
	return string(b), err
}

// unpackOwn reads what packOwn wrote, and adds it.
func (c *Counts) unpackOwn(packed string) error {
	if packed == "" {
		return nil
	}
	var own map[string]int64
	if err := json.Unmarshal([]byte(packed), &own); err != nil {
		return fmt.Errorf("%w: an application's own counts: %w", tenancy.ErrInvalid, err)
	}
	c.Add(&Counts{Own: own})
	return nil
}

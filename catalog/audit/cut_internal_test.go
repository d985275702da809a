package audit

// SetCutStep sets how many entries are removed in one transaction.
func (t *Trail) SetCutStep(n int64) { t.cutStep = n }

package auth

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
	"slices"

	"github.com/artflow-studio/tenancy"
)

// Permission is one thing that an operator may be allowed to do. The zero value is no permission.
type Permission uint8

// The permissions. Their names are stable; their numbers are not, and are stored nowhere.
const (
	_ Permission = iota
	TenantsRead
	TenantsCreate
	TenantsWrite
	TenantsTag
	TenantsStatus // activate, suspend, block, deactivate
	TenantsArchive
	TenantsRestore
	TenantsPurge
	TenantsMigrate
	TenantsLimits
	TenantsKeys
	TenantsMaintenance
	AnalyticsRead
	AnalyticsExport
	ActivitiesRead // names, addresses and sign-ins of tenants' users
	RunsRead
	RunsControl
	BulkStart
	SchedulesWrite
	ServiceMaintenance
	HealthRead
	AuditRead
	AuditVerify
	AuditExport
	OperatorsRead
	OperatorsWrite
	SessionsEnd
	TokensWrite
	IPRulesWrite
	SettingsWrite

	permissions // how many there are, plus one
)

// names is indexed by Permission.
var names = [permissions]string{
	TenantsRead: "tenants.read", TenantsCreate: "tenants.create", TenantsWrite: "tenants.write", TenantsTag: "tenants.tag",
	TenantsStatus: "tenants.status", TenantsArchive: "tenants.archive", TenantsRestore: "tenants.restore", TenantsPurge: "tenants.purge",
	TenantsMigrate: "tenants.migrate", TenantsLimits: "tenants.limits", TenantsKeys: "tenants.keys", TenantsMaintenance: "tenants.maintenance",
	AnalyticsRead: "analytics.read", AnalyticsExport: "analytics.export", ActivitiesRead: "activities.read",
	RunsRead: "runs.read", RunsControl: "runs.control", BulkStart: "bulk.start", SchedulesWrite: "schedules.write",
	ServiceMaintenance: "service.maintenance", HealthRead: "health.read",
	AuditRead: "audit.read", AuditVerify: "audit.verify", AuditExport: "audit.export",
	OperatorsRead: "operators.read", OperatorsWrite: "operators.write", SessionsEnd: "sessions.end",
	TokensWrite: "tokens.write", IPRulesWrite: "iprules.write", SettingsWrite: "settings.write",
}

// String returns the permission's name, such as "tenants.read".
func (p Permission) String() string {
	if p == 0 || p >= permissions {
		return fmt.Sprintf("Permission(%d)", uint8(p))
	}
	return names[p]
}

// Permissions is a set of permissions. The zero value is the empty set.
type Permissions uint64

// NewPermissions returns the set of these permissions.
func NewPermissions(all ...Permission) Permissions {
	var set Permissions
	for _, p := range all {
		set |= 1 << p
	}
	return set
}

// AllPermissions returns the set of all permissions.
func AllPermissions() Permissions { return 1<<permissions - 2 }

// Has reports whether p is in the set. No set has the zero Permission.
func (s Permissions) Has(p Permission) bool { return p != 0 && p < permissions && s&(1<<p) != 0 }

// Includes reports whether all of other is in the set.
func (s Permissions) Includes(other Permissions) bool { return other&^s == 0 }

// All yields the permissions of the set, in the order of their declaration.
func (s Permissions) All() iter.Seq[Permission] {
	return func(yield func(Permission) bool) {
		for rest := uint64(s); rest != 0; rest &= rest - 1 {
			if !yield(Permission(bits.TrailingZeros64(rest))) { // below 64
				return
			}
		}
	}
}

// MarshalJSON returns the names of the set.
func (s Permissions) MarshalJSON() ([]byte, error) {
	list := []string{}
	for p := range s.All() {
		list = append(list, p.String())
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads names. An unknown name is an error that wraps [tenancy.ErrInvalid].
func (s *Permissions) UnmarshalJSON(text []byte) error {
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("%w: permissions: %w", tenancy.ErrInvalid, err)
	}
	*s = 0
	for _, name := range list {
		i := slices.Index(names[:], name)
		if i <= 0 {
			return fmt.Errorf("%w: permission %.60q", tenancy.ErrInvalid, name)
		}
		*s |= 1 << i
	}
	return nil
}

// Names of the built-in roles.
const (
	RoleViewer   = "viewer"
	RoleSupport  = "support"
	RoleOperator = "operator"
	RoleSecurity = "security"
	RoleOwner    = "owner"
)

// builtinRoles returns the roles that exist without any of the application's own.
func builtinRoles() map[string]Permissions {
	viewer := NewPermissions(TenantsRead, AnalyticsRead, RunsRead, HealthRead)
	support := viewer | NewPermissions(TenantsStatus, TenantsMaintenance, ActivitiesRead, AuditRead)
	return map[string]Permissions{
		RoleViewer:  viewer,
		RoleSupport: support,
		RoleOperator: support | NewPermissions(TenantsCreate, TenantsWrite, TenantsTag, TenantsArchive, TenantsRestore, TenantsMigrate,
			TenantsLimits, TenantsKeys, AnalyticsExport, RunsControl, BulkStart, SchedulesWrite, ServiceMaintenance),
		RoleSecurity: viewer | NewPermissions(ActivitiesRead, AuditRead, AuditVerify, AuditExport, OperatorsRead, OperatorsWrite,
			SessionsEnd, TokensWrite, IPRulesWrite),
		RoleOwner: AllPermissions(),
	}
}

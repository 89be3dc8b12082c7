package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/skyweld/skyweld/api"
)

// clouds are those that accounts can be at, as they are offered.
var clouds = []string{"aws", "gcp", "azure", "digitalocean"}

// accountField is a field of the form for an account. Its name is that of the API's body.
type accountField struct {
	name, label, hint string
	example           string
	kind              fieldKind
	// needed says that there is no account without it.
	needed bool
	// choices are those of a choice, the usual one first.
	choices []option
}

type fieldKind int

const (
	lineField   fieldKind = iota
	secretLine            // shown as dots, and never again
	secretLines           // a text of several lines that is never shown again
	areaField
	choiceField
)

// accountForm is what is asked of an account at a cloud: its credentials, and what only few need.
type accountForm struct{ usual, advanced []accountField }

var accountForms = map[string]accountForm{
	"aws": {
		usual: []accountField{
			{name: "secrets.access-key-id", label: "Access key id", example: "AKIA…", kind: secretLine, needed: true},
			{name: "secrets.secret-access-key", label: "Secret access key", kind: secretLine, needed: true},
		},
		advanced: []accountField{
			{name: "secrets.session-token", label: "Session token", hint: "Of credentials that end by themselves: the account ends with them.", kind: secretLine},
			{name: "settings.region", label: "Region for what belongs to no region", hint: "A region that is switched on. Usually us-east-1.", example: "us-east-1"},
			{name: "settings.image-owner", label: "Owner of Ubuntu's images", hint: "Usually Canonical, 099720109477. In China 837727238323, in GovCloud 513442679011."},
			{name: "settings.endpoint", label: "Endpoint of all services", hint: "The URL of a cloud that speaks EC2's language, like the lab. Usually Amazon's own.", example: "https://…"},
			{name: "settings.endpoint-ec2", label: "Endpoint of EC2 alone", example: "https://…"},
			{name: "settings.endpoint-sts", label: "Endpoint of STS alone", example: "https://…"},
			{name: "settings.endpoint-service-quotas", label: "Endpoint of Service Quotas alone", example: "https://…"},
		},
	},
	"gcp": {
		usual: []accountField{
			{name: "secrets.credentials", label: "Key of the service account", hint: "All of the JSON file, from { to }.", kind: secretLines, needed: true},
			{name: "settings.project", label: "Project", hint: "Its id. Usually the one that the key names.", example: "my-project"},
		},
		advanced: []accountField{
			{name: "settings.endpoint", label: "Endpoint of Compute Engine", hint: "The URL with its version, as the lab has one. Usually Google's own.", example: "https://…/compute/v1/"},
			{name: "settings.endpoint-resource-manager", label: "Endpoint of Cloud Resource Manager", hint: "Usually that of Compute Engine where one is given, else Google's own.", example: "https://…"},
		},
	},
	"azure": {
		usual: []accountField{
			{name: "settings.subscription", label: "Subscription", hint: "Its id.", example: "00000000-0000-0000-0000-000000000000", needed: true},
			{name: "settings.tenant", label: "Tenant", hint: "The directory's id or domain: tenant in skyweld.json."},
			{name: "settings.client", label: "Client id", hint: "Of the service principal: appId in skyweld.json."},
			{name: "secrets.client-secret", label: "Client secret", hint: "password in skyweld.json.", kind: secretLine},
		},
		advanced: []accountField{
			{name: "settings.login", label: "How to sign in", kind: choiceField, choices: []option{
				{"secret", "With the client's secret"}, {"managed-identity", "As the managed identity of the machine that the engine runs on"}, {"cli", "As whom az is signed in as on the engine's machine"},
			}},
			{name: "settings.authority-host", label: "Sign-in service", hint: "The URL for clouds other than the public one.", example: "https://login.microsoftonline.us"},
			{name: "settings.endpoint", label: "Endpoint of Azure Resource Manager", hint: "The URL of a cloud of one's own, like the lab. Usually that of the sign-in service's cloud.", example: "https://…"},
			{name: "settings.audience", label: "Audience of access tokens", hint: "Usually the known cloud's, else the endpoint."},
			{name: "settings.disable-instance-discovery", label: "Look the sign-in service up at login.microsoft.com first", kind: choiceField, choices: []option{
				{"", "Yes"}, {"true", "No: it is one of our own"},
			}},
		},
	},
	"digitalocean": {
		usual: []accountField{
			{name: "secrets.token", label: "Personal access token", example: "dop_v1_…", kind: secretLine, needed: true},
		},
		advanced: []accountField{
			{name: "settings.endpoint", label: "Endpoint", hint: "The URL of the API without its version, as the lab has one. Usually DigitalOcean's own.", example: "https://…/"},
		},
	},
}

// reachFields are the same at all clouds: how the engine reaches the cloud and the machines there.
var reachFields = []accountField{
	{name: "ca", label: "Certificates to trust", hint: "PEM, for endpoints whose certificates the system doesn't trust.", example: "-----BEGIN CERTIFICATE-----", kind: areaField},
	{name: "proxy", label: "Proxy to the machines", hint: "For SSH and the Kubernetes API of this account's machines. The cloud's own API isn't called through it.", example: "socks5://127.0.0.1:1080"},
	{name: "settings.egress", label: "Where the engine comes from", hint: "Addresses or ranges from which the engine reaches the machines, by commas. Usually found out at each run.", example: "203.0.113.7"},
}

// fieldsOfCloud are all fields for a cloud's accounts.
func fieldsOfCloud(id string) []accountField {
	f := accountForms[id]
	return joined(f.usual, f.advanced, reachFields)
}

func accountFieldNames(id string) []string {
	names := []string{"name", "credentials"}
	for _, f := range fieldsOfCloud(id) {
		names = append(names, f.name)
	}
	return names
}

// secret says that a field holds one.
func (f accountField) secret() bool { return secretField(f.name) }

// enteredAccount is what a form says of an account; an empty field isn't given.
func enteredAccount(id string, values url.Values) api.NewAccount {
	a := api.NewAccount{Provider: id, Name: strings.TrimSpace(values.Get("name")), Settings: map[string]string{}, Secrets: map[string]string{}}
	for _, f := range fieldsOfCloud(id) {
		v := strings.TrimSpace(strings.ReplaceAll(values.Get(f.name), "\r\n", "\n"))
		if v == "" {
			continue
		}
		kind, name, _ := strings.Cut(f.name, ".")
		switch kind {
		case "settings":
			a.Settings[name] = v
		case "secrets":
			a.Secrets[name] = v
		case "ca":
			a.CA = v + "\n"
		case "proxy":
			a.Proxy = v
		}
	}
	return a
}

// lacking is the problem of needed fields that are empty, nil when none is.
func lacking(id string, values url.Values, secrets bool) error {
	p := &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "Something is missing"}
	for _, f := range fieldsOfCloud(id) {
		need := f.needed
		if id == "azure" && (values.Get("settings.login") == "" || values.Get("settings.login") == "secret") {
			need = need || f.name == "settings.tenant" || f.name == "settings.client" || f.name == "secrets.client-secret"
		}
		if need && (secrets || !f.secret()) && strings.TrimSpace(values.Get(f.name)) == "" {
			fieldProblem(p, f.name, "it is needed")
		}
	}
	if len(p.Errors) == 0 {
		return nil
	}
	return p
}

// fieldProblem adds what is wrong with a field.
func fieldProblem(p *api.Problem, field, message string) {
	p.Errors = append(p.Errors, api.FieldError{Message: message, Location: field})
}

// aboutField finds the word that a problem of an account begins with.
var aboutField = regexp.MustCompile(`^(?:account \S+: )?(?:the (?:setting|secret) )?"?([A-Za-z][A-Za-z-]*)"?(?:: | "| is )`)

// accountProblem puts a problem of an account beside the field that its words begin with.
func accountProblem(id string, err error) error {
	p, ok := errors.AsType[*api.Problem](err)
	if ok && len(p.Errors) > 0 {
		out := *p
		out.Detail = "Something is wrong" // what is said beside the field
		return &out
	}
	if !ok || p.Status != http.StatusUnprocessableEntity && p.Status != http.StatusConflict {
		return err
	}
	at := ""
	switch m := aboutField.FindStringSubmatch(p.Detail); {
	case strings.HasPrefix(p.Detail, "an account named "):
		at = "name"
	case strings.Contains(p.Detail, "the CA holds"):
		at = "ca"
	case m != nil:
		for _, name := range accountFieldNames(id) {
			_, short, _ := strings.Cut(name, ".")
			if name == m[1] || short == m[1] {
				at = name
			}
		}
	}
	if at == "" {
		return err
	}
	out := *p
	out.Detail = "Something is wrong"
	fieldProblem(&out, at, strings.TrimPrefix(p.Detail, strings.TrimPrefix(at, "settings.")+": "))
	return &out
}

// settingOf is the name of the setting that a field is for.
func settingOf(f accountField) string { return strings.TrimPrefix(f.name, "settings.") }

// cloudGrants say how finely rights are granted at each cloud.
var cloudGrants = map[string]string{
	"aws":          "A user with an access key. Rights by action; only what carries Skyweld's tag can be changed or removed.",
	"gcp":          "A service account with a key. Rights by permission, in one project.",
	"azure":        "A service principal with a secret. Rights by action, in one subscription.",
	"digitalocean": "A personal access token. Rights by scope, in one team.",
}

// areaText is what stands in a text of several lines: nothing where that is a secret.
func areaText(ctx context.Context, f accountField, usual string) string {
	if f.kind != areaField {
		return ""
	}
	return callOf(ctx).input.value(f.name, usual)
}

package azure

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/skyweld/skyweld/cloud"
)

// quotaPage is where limits are shown and raised.
const quotaPage = "https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas"

const otherSize = "Ask for another size, or give the site another region; 'skyweld plan' names what the region has."

// advised are codes, in small letters, about which there is something to do that neither Azure's own words say nor the
// class of the error.
var advised = map[string]string{
	"skunotavailable":                       otherSize,
	"allocationfailed":                      otherSize,
	"zonalallocationfailed":                 otherSize,
	"overconstrainedallocationrequest":      otherSize,
	"overconstrainedzonalallocationrequest": otherSize,

	"requestdisallowedbypolicy":    "A policy of the organization forbids it: have it exempt Skyweld's resource groups, 'az policy assignment list' shows it.",
	"scopelocked":                  "Take the lock away: 'az lock list' shows it.",
	"readonlydisabledsubscription": "The subscription is disabled: enable it at https://portal.azure.com, or give the account another.",
	"subscriptionnotfound":         "Check the account's subscription, and that the client has a role in it.",
	"invalidsubscriptionid":        "Check the account's subscription, and that the client has a role in it.",
	"resourcegroupbeingdeleted":    "Wait until it is gone; Skyweld goes on by itself then.",
	"anotheroperationinprogress":   "Wait until that is done; Skyweld goes on by itself then.",

	"aadsts7000215": "Take the secret's value, not its id; 'az ad app credential reset' makes another.",
	"aadsts7000222": "Make another secret with 'az ad app credential reset'.",
	"aadsts700016":  "Check the account's client id and tenant.",
	"aadsts90002":   "Check the account's tenant.",
	"aadsts900023":  "Check the account's tenant.",
	"aadsts7000112": "Enable the application again, or take another.",
}

// explain adds what the user can do, where Azure's own words don't say it.
func explain(out *cloud.Error, status int) {
	low := strings.ToLower(out.Code)
	switch {
	case low == "missingsubscriptionregistration":
		out.Message = sentence(out.Message, "Register it once: az provider register --namespace "+namespaceOf(out.Message))
	case out.Class == cloud.QuotaExceeded:
		out.Message = sentence(out.Message, "Limits are raised at "+quotaPage)
	case advised[low] != "":
		out.Message = sentence(out.Message, advised[low])
	case status == http.StatusUnauthorized:
		out.Credentials, out.Message = true, "the credentials are not valid: "+out.Message
	case low == "nicreservedforanothervm" && out.RetryAfter == 0:
		out.RetryAfter = 3 * time.Minute // that is how long Azure keeps it
		if left := keptFor.FindStringSubmatch(out.Message); left != nil {
			out.RetryAfter = retryAfter(http.Header{"Retry-After": {left[1]}})
		}
	}
	if out.Class == cloud.Denied {
		out.Action = deniedAction(out.Message)
	}
}

// keptFor finds in a refusal for how long an interface is kept for another machine.
var keptFor = regexp.MustCompile(`retry after (\d+) seconds`)

// sentence puts another behind a message, which may lack its full stop.
func sentence(message, more string) string {
	if message = strings.TrimSpace(message); message != "" && !strings.ContainsAny(message[len(message)-1:], ".!?") {
		message += "."
	}
	return strings.TrimSpace(message + " " + more)
}

// Refusals name the permission that is missing. About what is referred to they name two, the one that is there first:
// "… has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope …; however, it does not have
// permission to perform the following action(s) 'Microsoft.Network/networkInterfaces/join/action' on the linked scope(s) …".
var (
	namedAction  = regexp.MustCompile(`perform action '(Microsoft\.[A-Za-z./]+)'`)
	linkedAction = regexp.MustCompile(`action\(s\) '(Microsoft\.[A-Za-z./]+)'`)
	namedSpace   = regexp.MustCompile(`namespace '(Microsoft\.[A-Za-z.]+)'`)
)

// deniedAction finds the missing permission in a refusal, empty where it isn't named.
func deniedAction(message string) string {
	for _, pattern := range []*regexp.Regexp{linkedAction, namedAction} {
		if m := pattern.FindStringSubmatch(message); m != nil {
			return m[1]
		}
	}
	return ""
}

func namespaceOf(message string) string {
	if m := namedSpace.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return "Microsoft.Compute (and Microsoft.Network)"
}

// needing adds to a refused login what it takes on the engine's machine.
func needing(out *cloud.Error, err error) *cloud.Error {
	e, ok := errors.AsType[*loginError](err)
	if !ok || e.needs == "" || !out.Credentials {
		return out
	}
	if out.Message == "" {
		out.Message = e.Error()
	}
	out.Message = sentence(out.Message, e.needs)
	return out
}

// loginNumber is the login service's own number for what is wrong: its code in letters says next to nothing.
var loginNumber = regexp.MustCompile(`^(AADSTS[0-9]+): *`)

// classifyLogin judges a refusal of the login service: RFC 6749 has it answer 400 or 401 to credentials that aren't good.
func classifyLogin(e *azidentity.AuthenticationFailedError) *cloud.Error {
	out := &cloud.Error{Class: cloud.Denied, Credentials: true, Message: "the credentials were refused"}
	resp := e.RawResponse
	if resp == nil {
		out.Message = strings.TrimSpace(e.Error())
		return out
	}
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if text, err := runtime.Payload(resp); err == nil && json.Unmarshal(text, &body) == nil {
		out.Code = body.Error
		words, _, _ := strings.Cut(body.Description, "\n")
		words, _, _ = strings.Cut(words, " Trace ID:")
		if m := loginNumber.FindStringSubmatch(words); m != nil {
			out.Code, words = m[1], words[len(m[0]):]
		}
		if words = strings.TrimSpace(words); words != "" {
			out.Message += ": " + words
		}
		if todo := advised[strings.ToLower(out.Code)]; todo != "" {
			out.Message = sentence(out.Message, todo)
		}
	}
	out.RetryAfter = retryAfter(resp.Header)
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		out.Class, out.Credentials, out.Message = cloud.Throttled, false, "too many requests for access tokens"
	case resp.StatusCode >= 500:
		out.Class, out.Credentials, out.Message = cloud.Unavailable, false, "the login service answered "+strconv.Itoa(resp.StatusCode)+" "+http.StatusText(resp.StatusCode)
	}
	return out
}

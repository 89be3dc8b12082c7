package ec2

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

const (
	stsVersion  = "2011-06-15"
	stsXMLSpace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

type callerIdentity struct {
	ARN       string `xml:"GetCallerIdentityResult>Arn"`
	UserID    string `xml:"GetCallerIdentityResult>UserId"`
	Account   string `xml:"GetCallerIdentityResult>Account"`
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

// stsErrorAnswer is STS's form of an error, which differs from EC2's.
type stsErrorAnswer struct {
	Type      string `xml:"Error>Type"`
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

func writeSTSError(w http.ResponseWriter, id string, status int, code, message string) {
	kind := "Sender"
	if status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	start := xml.StartElement{Name: xml.Name{Space: stsXMLSpace, Local: "ErrorResponse"}}
	writeXML(w, status, start, stsErrorAnswer{Type: kind, Code: code, Message: message, RequestID: id})
}

// serveSTS answers the one action of the Security Token Service that needs no permission: who am I.
func (s *Service) serveSTS(w http.ResponseWriter, id string, form url.Values, problem query.Problem, sign query.Scope, now time.Time) {
	refuse := func(status int, code, message string) { writeSTSError(w, id, status, code, message) }
	switch problem {
	case query.OK:
	case query.NoSignature:
		refuse(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
		return
	case query.Incomplete:
		refuse(http.StatusBadRequest, "IncompleteSignature", "The request signature does not conform to AWS standards.")
		return
	case query.UnknownKey, query.ForeignToken:
		refuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
		return
	case query.Expired:
		refuse(http.StatusForbidden, "SignatureDoesNotMatch", fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)",
			sign.Date.Format(query.DateFormat), now.UTC().Add(-query.MaxSkew).Format(query.DateFormat), now.UTC().Format(query.DateFormat)))
		return
	case query.Mismatch:
		refuse(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
		return
	}
	switch action := form.Get("Action"); {
	case form.Get("Version") != stsVersion || action == "":
		refuse(http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", action, form.Get("Version")))
	case action == "GetCallerIdentity":
		start := xml.StartElement{Name: xml.Name{Space: stsXMLSpace, Local: "GetCallerIdentityResponse"}}
		writeXML(w, http.StatusOK, start, callerIdentity{
			ARN:    "arn:aws:iam::" + s.cfg.AccountID + ":user/lab",
			UserID: "AIDA" + s.cfg.AccountID + "LAB0X", Account: s.cfg.AccountID, RequestID: id,
		})
	case action == "AssumeRole" || action == "GetSessionToken" || action == "GetFederationToken":
		refuse(http.StatusForbidden, "AccessDenied", fmt.Sprintf("User: arn:aws:iam::%s:user/lab is not authorized to perform: sts:%s", s.cfg.AccountID, action))
	default:
		refuse(http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", action, stsVersion))
	}
}

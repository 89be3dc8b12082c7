package ec2

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

// Service Quotas speaks Amazon's JSON protocol 1.1: the operation is in a header, errors have their type in the body
// ("Service Quotas API Reference" and the AWS JSON 1.1 protocol of Smithy).
const (
	quotasService = "servicequotas"
	quotasTarget  = "ServiceQuotasV20190624."
	jsonType      = "application/x-amz-json-1.1"
)

// accountQuota is one limit that the lab enforces.
type accountQuota struct {
	service, code, name string
	unit                string
	adjustable          bool
	standard            int // of a new account
	value               func(Limits) int
}

// accountQuotas are those that RunInstances and the creations of addresses, VPCs and their parts are held against, with
// Amazon's codes.
var accountQuotas = append(vcpuQuotas(),
	accountQuota{"ec2", "L-0263D0A3", "EC2-VPC Elastic IPs", "None", true, 5, func(l Limits) int { return l.Addresses }},
	accountQuota{"vpc", "L-F678F1CE", "VPCs per Region", "None", true, 5, func(l Limits) int { return l.VPCs }},
	accountQuota{"vpc", "L-A4707A72", "Internet gateways per Region", "None", true, 5, func(l Limits) int { return l.InternetGateways }},
	accountQuota{"vpc", "L-407747CB", "Subnets per VPC", "None", true, maxSubnets, func(Limits) int { return maxSubnets }},
	accountQuota{"vpc", "L-E79EC296", "VPC security groups per Region", "None", true, maxGroups, func(Limits) int { return maxGroups }},
	accountQuota{"vpc", "L-0EA8095F", "Inbound or outbound rules per security group", "None", true, maxRules, func(Limits) int { return maxRules }},
	accountQuota{"vpc", "L-589F43AA", "Route tables per VPC", "None", true, maxTables, func(Limits) int { return maxTables }},
)

// vcpuQuotas are the limits of the groups of instance families; the lab gives all the same room.
func vcpuQuotas() []accountQuota {
	var out []accountQuota
	for _, q := range [][2]string{
		{"L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"}, {"L-74FC7D96", "Running On-Demand F instances"},
		{"L-DB2E81BA", "Running On-Demand G and VT instances"}, {"L-417A185B", "Running On-Demand P instances"},
		{"L-1945791B", "Running On-Demand Inf instances"}, {"L-7295265B", "Running On-Demand X instances"},
		{"L-6E869C2A", "Running On-Demand DL instances"}, {"L-2C3B7624", "Running On-Demand Trn instances"},
		{"L-F7808C92", "Running On-Demand HPC instances"}, {"L-43DA4232", "Running On-Demand High Memory instances"},
	} {
		out = append(out, accountQuota{"ec2", q[0], q[1], "None", true, 5, func(l Limits) int { return l.VCPUs }})
	}
	return out
}

// quotaView is a quota as answers show it.
type quotaView struct {
	ServiceCode, ServiceName, QuotaArn, QuotaCode, QuotaName string
	Value                                                    float64
	Unit                                                     string
	Adjustable, GlobalQuota                                  bool
	QuotaAppliedAtLevel                                      string `json:",omitempty"`
}

var quotaServices = map[string]string{"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)", "vpc": "Amazon Virtual Private Cloud (Amazon VPC)"}

func (s *Service) quotaView(q accountQuota, region string, applied bool) quotaView {
	v := quotaView{
		ServiceCode: q.service, ServiceName: quotaServices[q.service], QuotaCode: q.code, QuotaName: q.name,
		QuotaArn: "arn:aws:servicequotas:" + region + "::" + q.service + "/" + q.code,
		Value:    float64(q.standard), Unit: q.unit, Adjustable: q.adjustable,
	}
	if applied {
		v.QuotaArn = "arn:aws:servicequotas:" + region + ":" + s.cfg.AccountID + ":" + q.service + "/" + q.code
		v.Value, v.QuotaAppliedAtLevel = float64(q.value(s.cfg.Limits)), "ACCOUNT"
	}
	return v
}

type quotaInput struct {
	ServiceCode, QuotaCode, NextToken, ContextId string
	QuotaAppliedAtLevel                          string
	MaxResults                                   *int
}

// serveQuotas answers a request to Service Quotas.
func (s *Service) serveQuotas(w http.ResponseWriter, r *http.Request, body []byte, problem query.Problem, sign query.Scope) {
	where, known := s.cfg.Catalogue.region(sign.Region)
	switch {
	case problem == query.NoSignature:
		writeJSONError(w, http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token")
		return
	case problem == query.UnknownKey || problem == query.ForeignToken || !known || !s.enabled(where):
		writeJSONError(w, http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	case problem != query.OK:
		writeJSONError(w, http.StatusBadRequest, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
		return
	}
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), quotasTarget)
	var in quotaInput
	if err := json.Unmarshal(body, &in); err != nil {
		writeJSONError(w, http.StatusBadRequest, "SerializationException", "The request's body is not JSON")
		return
	}
	switch operation {
	case "GetServiceQuota", "GetAWSDefaultServiceQuota":
		s.getQuota(w, in, where.Name, operation == "GetServiceQuota")
	case "ListServiceQuotas", "ListAWSDefaultServiceQuotas":
		s.listQuotas(w, in, where.Name, operation == "ListServiceQuotas")
	default:
		writeJSONError(w, http.StatusBadRequest, "UnknownOperationException", "")
	}
}

func (s *Service) getQuota(w http.ResponseWriter, in quotaInput, region string, applied bool) {
	if in.ServiceCode == "" || in.QuotaCode == "" {
		writeJSONError(w, http.StatusBadRequest, "IllegalArgumentException", "ServiceCode and QuotaCode are required")
		return
	}
	for _, q := range accountQuotas {
		if q.service == in.ServiceCode && q.code == in.QuotaCode {
			writeJSON(w, map[string]any{"Quota": s.quotaView(q, region, applied)})
			return
		}
	}
	writeJSONError(w, http.StatusBadRequest, "NoSuchResourceException", "The request failed because the specified service quota does not exist.")
}

func (s *Service) listQuotas(w http.ResponseWriter, in quotaInput, region string, applied bool) {
	if quotaServices[in.ServiceCode] == "" {
		writeJSONError(w, http.StatusBadRequest, "NoSuchResourceException", "The request failed because the specified service does not exist.")
		return
	}
	size := 100
	if in.MaxResults != nil {
		if size = *in.MaxResults; size < 1 || size > 100 {
			writeJSONError(w, http.StatusBadRequest, "IllegalArgumentException", "MaxResults must be between 1 and 100")
			return
		}
	}
	from := 0
	if in.NextToken != "" {
		var err error
		if from, err = strconv.Atoi(in.NextToken); err != nil || from < 0 {
			writeJSONError(w, http.StatusBadRequest, "InvalidPaginationTokenException", "Invalid pagination token")
			return
		}
	}
	all := slices.DeleteFunc(slices.Clone(accountQuotas), func(q accountQuota) bool {
		return q.service != in.ServiceCode || in.QuotaCode != "" && q.code != in.QuotaCode
	})
	views := []quotaView{}
	for _, q := range all[min(from, len(all)):min(from+size, len(all))] {
		views = append(views, s.quotaView(q, region, applied))
	}
	out := map[string]any{"Quotas": views}
	if from+size < len(all) {
		out["NextToken"] = strconv.Itoa(from + size)
	}
	writeJSON(w, out)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", jsonType)
	// The client may be gone; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}

func writeJSONError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("X-Amzn-ErrorType", code)
	w.WriteHeader(status)
	body := map[string]string{"__type": code}
	if message != "" {
		body["message"] = message
	}
	_ = json.NewEncoder(w).Encode(body)
}

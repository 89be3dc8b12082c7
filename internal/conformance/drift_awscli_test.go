package conformance_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// awsShell does what lines like "aws ec2 delete-route --route-table-id rtb-1 --destination-cidr-block 0.0.0.0/0" say, joined
// by " && ", through the official SDK: that what a row shows is what was done. The options are the fields of the call's
// input, in the form that the aws command has them.
func awsShell(c *ec2.Client) func(*driftSite, string) error {
	return func(s *driftSite, command string) error {
		for line := range strings.SplitSeq(command, " && ") {
			if err := awsLine(s, c, line); err != nil {
				return err
			}
		}
		return nil
	}
}

func awsLine(s *driftSite, c *ec2.Client, line string) error {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "aws" || words[1] != "ec2" {
		return fmt.Errorf("%q is no command for EC2", line)
	}
	method := reflect.ValueOf(c).MethodByName(camel(words[2]))
	if !method.IsValid() {
		return fmt.Errorf("EC2 has no call for %s", words[2])
	}
	in := reflect.New(method.Type().In(1).Elem())
	for rest := words[3:]; len(rest) > 0; {
		n := slices.IndexFunc(rest[1:], func(w string) bool { return strings.HasPrefix(w, "--") }) + 1
		if n == 0 {
			n = len(rest)
		}
		if err := awsOption(in.Elem(), strings.TrimPrefix(rest[0], "--"), rest[1:n]); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		rest = rest[n:]
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(s.Context()), in})
	err, _ := out[1].Interface().(error)
	return err
}

func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "-") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// awsOption sets a field of an input. Some options have names of their own, as in the aws command.
func awsOption(in reflect.Value, name string, values []string) error {
	switch name {
	case "protocol", "port", "cidr": // of rules
		return awsRule(in, name, values[0])
	}
	off := strings.HasPrefix(name, "no-")
	field := in.FieldByName(camel(strings.TrimPrefix(name, "no-")))
	if !field.IsValid() {
		return fmt.Errorf("the call takes no --%s", name)
	}
	return awsValue(field, values, !off)
}

// awsRule fills the rule of a call for one, which the aws command sends as a list of permissions.
func awsRule(in reflect.Value, name, value string) error {
	list, ok := in.FieldByName("IpPermissions").Addr().Interface().(*[]types.IpPermission)
	if !ok {
		return fmt.Errorf("the call takes no --%s", name)
	}
	if len(*list) == 0 {
		*list = []types.IpPermission{{}}
	}
	p := &(*list)[0]
	switch name {
	case "protocol":
		p.IpProtocol = &value
	case "cidr":
		p.IpRanges = []types.IpRange{{CidrIp: &value}}
	case "port":
		from, to, both := strings.Cut(value, "-")
		if !both {
			to = from
		}
		a, err := strconv.Atoi(from)
		if err != nil {
			return err
		}
		b, err := strconv.Atoi(to)
		if err != nil {
			return err
		}
		p.FromPort, p.ToPort = sdk.Int32(int32(a)), sdk.Int32(int32(b)) //nolint:gosec // ports
	}
	return nil
}

func awsValue(field reflect.Value, values []string, on bool) error {
	switch v := field.Addr().Interface().(type) {
	case **bool:
		*v = &on
	case **types.AttributeBooleanValue:
		*v = &types.AttributeBooleanValue{Value: &on}
	case **types.AttributeValue:
		text := strings.TrimPrefix(values[0], "Value=")
		*v = &types.AttributeValue{Value: &text}
	case **string:
		*v = &values[0]
	case *[]string:
		*v = values
	case **int32:
		n, err := strconv.ParseInt(values[0], 10, 32)
		*v = sdk.Int32(int32(n))
		return err
	case *[]types.Tag:
		for _, text := range values {
			key, value, _ := strings.Cut(strings.TrimPrefix(text, "Key="), ",Value=")
			tag := types.Tag{Key: &key}
			if strings.Contains(text, ",Value=") {
				tag.Value = &value
			}
			*v = append(*v, tag)
		}
	default:
		if field.Kind() == reflect.String {
			field.SetString(values[0])
			return nil
		}
		return json.Unmarshal([]byte(strings.Trim(strings.Join(values, " "), "'")), field.Addr().Interface())
	}
	return nil
}

// awsNobody finds a call that could set a value of what there is: one that takes both its id and the value, and isn't one
// of those named, which mean another thing by it or make something new.
func awsNobody(id, value string, but ...string) string {
	t := reflect.TypeFor[*ec2.Client]()
	for i := range t.NumMethod() {
		m := t.Method(i)
		if m.Type.NumIn() < 3 || m.Type.In(2).Kind() != reflect.Pointer || m.Type.In(2).Elem().Kind() != reflect.Struct || slices.Contains(but, m.Name) {
			continue
		}
		in := m.Type.In(2).Elem()
		_, hasID := in.FieldByName(id)
		_, hasValue := in.FieldByName(value)
		if hasID && hasValue {
			return m.Name
		}
	}
	return ""
}

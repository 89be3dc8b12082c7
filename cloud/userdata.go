package cloud

import "strings"

// shortestSecret is the length in bytes of the shortest line of user data that counts as shown: what is shorter is in many
// texts.
const shortestSecret = 16

// ShowsUserData says whether a text repeats a line of a machine's user data, or one of the other forms that the cloud got it
// in. A driver asks it about answers to the creating call, which may repeat what they refuse.
func ShowsUserData(text string, userData []byte, forms ...string) bool {
	for _, line := range append(strings.Split(string(userData), "\n"), forms...) {
		if line = strings.TrimSpace(line); len(line) >= shortestSecret && strings.Contains(text, line) {
			return true
		}
	}
	return false
}

// Hidden is what may be shown of an error whose answer repeats user data.
func (e *Error) Hidden() *Error {
	return &Error{Class: e.Class, Code: e.Code, RetryAfter: e.RetryAfter, Message: "the answer repeats the machine's user data and isn't shown"}
}

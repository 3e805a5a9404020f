package chaos

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// operation returns the operation of a request: UpdateItem, say.
func operation(header http.Header) string {
	_, operation, _ := strings.Cut(header.Get("X-Amz-Target"), ".")
	return operation
}

// outward returns the body of a request in terms of the true clock, and as Rewrite wants it.
func (p *Proxy) outward(operation string, body []byte) []byte {
	if p.opt.Skew != 0 {
		body = shiftBody(body, p.opt.Skew)
	}
	if p.opt.Rewrite == nil {
		return body
	}
	return edit(body, func(content map[string]any) { p.opt.Rewrite(operation, content) })
}

// shiftBody adds a duration to all times in the body of a request or reply.
func shiftBody(body []byte, by time.Duration) []byte {
	return edit(body, func(content map[string]any) { shift(content, by) })
}

// edit changes a JSON object; anything else it returns as it is.
func edit(body []byte, change func(map[string]any)) []byte {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var content map[string]any
	if decoder.Decode(&content) != nil || content == nil {
		return body
	}
	change(content)
	edited, err := json.Marshal(content)
	if err != nil {
		return body
	}
	return edited
}

// firstTime and lastTime bound DynamoDB's numbers that are taken for times, in Unix nanoseconds:
// from September 2001 to 2096. A greater one stands for "ever", and a sum could overflow.
const (
	firstTime = 1e18
	lastTime  = 4e18
)

// shift adds a duration to all of DynamoDB's numbers in a JSON value that are times.
func shift(value any, by time.Duration) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			shift(element, by)
		}
	case map[string]any:
		if text, ok := value["N"].(string); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			if isTime := err == nil && n >= firstTime && n <= lastTime; isTime {
				value["N"] = strconv.FormatInt(n+int64(by), 10)
			}
			return
		}
		for _, element := range value {
			shift(element, by)
		}
	}
}

package chaos_test

import (
	"fmt"
	"time"
)

// rewrite changes the body of a request of that operation. Those below break the library.
type rewrite = func(operation string, body map[string]any)

// updateOf returns the update expression in the body of a request; "" if it has none.
func updateOf(body map[string]any) string {
	update, _ := body["UpdateExpression"].(string)
	return update
}

// allow makes a write succeed also if the condition holds that is given.
func allow(body map[string]any, condition string) {
	own := body["ConditionExpression"]
	body["ConditionExpression"] = fmt.Sprintf("(%s) OR (%v)", condition, own)
}

// values returns the values of a write's placeholders.
func values(body map[string]any) map[string]any {
	return body["ExpressionAttributeValues"].(map[string]any)
}

// dropWishes makes every wish fail.
func dropWishes(_ string, body map[string]any) {
	if isWish(updateOf(body)) {
		own := body["ConditionExpression"]
		body["ConditionExpression"] = fmt.Sprintf("#holder = :by AND %v", own)
	}
}

// reserveForLong makes reservations last.
func reserveForLong(_ string, body map[string]any) {
	if isHandover(updateOf(body)) {
		end := time.Now().Add(time.Hour).UnixNano()
		values(body)[":end"] = map[string]any{"N": fmt.Sprint(end)}
	}
}

// handOverByName makes every handover by the row's holder succeed if somebody else wants the item.
func handOverByName(_ string, body map[string]any) {
	if isHandover(updateOf(body)) {
		allow(body, "#holder = :me AND #wantedUntil > :now AND NOT #wantedBy IN (:me, :nobody)")
	}
}

// saveAnyway makes every save succeed.
func saveAnyway(_ string, body map[string]any) {
	if isSave(updateOf(body)) {
		allow(body, "attribute_exists(id)")
		body["UpdateExpression"] = "SET #s0 = :s0"
	}
}

// leaseAnyway makes every write that leases succeed.
func leaseAnyway(_ string, body map[string]any) {
	if isLease(updateOf(body)) {
		allow(body, "attribute_exists(id)")
	}
}

// renewByNameOnly makes every renewal of the row's holder succeed, whatever its token.
func renewByNameOnly(_ string, body map[string]any) {
	if !isRenewal(updateOf(body)) {
		return
	}
	var holder, me string
	for placeholder, name := range body["ExpressionAttributeNames"].(map[string]any) {
		if name == "ProcessID" {
			holder = placeholder
		}
	}
	for placeholder, value := range values(body) {
		if value.(map[string]any)["S"] != nil {
			me = placeholder
		}
	}
	if holder != "" && me != "" {
		allow(body, fmt.Sprintf("%s = %s", holder, me))
	}
}

// isRenewal tells whether an update is none of the others.
func isRenewal(update string) bool {
	others := []func(string) bool{isLease, isHandover, isRelease, isWish, isSave}
	for _, isOther := range others {
		if isOther(update) {
			return false
		}
	}
	return update != ""
}

// releaseByToken makes every release by the row's holder and its token succeed, whatever the
// row's end.
func releaseByToken(_ string, body map[string]any) {
	if isRelease(updateOf(body)) {
		allow(body, "#holder = :me AND #token = :token")
	}
}

// releaseAtOnce makes every release free the row at once.
func releaseAtOnce(_ string, body map[string]any) {
	if isRelease(updateOf(body)) {
		values(body)[":rest"] = map[string]any{"N": "0"}
	}
}

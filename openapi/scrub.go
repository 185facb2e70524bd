package openapi

// The upstream's document says in many places where the upstream is, and may
// hold operations that are nobody's path. Both are taken out of what is kept;
// schemas, examples and extensions are not looked into.

// members calls f for every member of o[name] that is an object itself.
func members(o object, name string, f func(key string, value object, in object)) {
	in, _ := o[name].(object)
	for key, value := range in {
		if v, ok := value.(object); ok {
			f(key, v, in)
		}
	}
}

func scrubDocument(doc object) {
	if components, ok := doc["components"].(object); ok {
		// Path items refer to these from the paths, where references are not
		// followed, or from call-backs, which lose such references too.
		delete(components, "pathItems")
		members(components, "links", func(_ string, link, _ object) { delete(link, "server") })
		members(components, "responses", func(_ string, response, _ object) { scrubResponse(response) })
		members(components, "callbacks", func(_ string, callback, _ object) { scrubCallback(callback) })
	}
	members(doc, "webhooks", scrubPathItem)
}

func scrubPathItem(key string, item, in object) {
	if item["$ref"] != nil {
		delete(in, key)
		return
	}
	delete(item, "servers")
	for _, method := range methodKeys {
		if op, ok := item[method].(object); ok {
			scrubOperation(op)
			delete(op, "x-payment-info") // nothing is bought by being called
		}
	}
}

func scrubOperation(op object) {
	delete(op, "servers")
	delete(op, "server") // of no specification, and it tells the same
	members(op, "responses", func(_ string, response, _ object) { scrubResponse(response) })
	members(op, "callbacks", func(_ string, callback, _ object) { scrubCallback(callback) })
}

func scrubResponse(response object) {
	members(response, "links", func(_ string, link, _ object) { delete(link, "server") })
}

func scrubCallback(callback object) {
	if callback["$ref"] != nil {
		return // to the components, which are scrubbed themselves
	}
	for key, value := range callback {
		if item, ok := value.(object); ok {
			scrubPathItem(key, item, callback)
		}
	}
}

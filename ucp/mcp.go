package ucp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/internal/strictjson"
	"paywall/ucp/agent"
	"paywall/ucp/protocol"
)

// mcpVersion is the newest version of MCP that is spoken; a client's own is echoed.
const mcpVersion = "2025-11-25"

// Codes of JSON-RPC.
const (
	rpcParse    = -32700
	rpcRequest  = -32600
	rpcMethod   = -32601
	rpcParams   = -32602
	rpcInternal = -32603
)

type rpcRequestBody struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

type toolCall struct {
	Name      string                     `json:"name"`
	Arguments map[string]json.RawMessage `json:"arguments"`
}

type toolMeta struct {
	Agent struct {
		Profile string `json:"profile"`
	} `json:"ucp-agent"`
	Key string `json:"idempotency-key"`
}

// mcp serves the binding: JSON-RPC over POST, one request each. The status of HTTP is
// that of the call (MCP binding, "transport").
func (s *Server) mcp(v protocol.Version) http.Handler {
	listed := s.listed()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.cfg.Now()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodPost {
			h.Set("Allow", http.MethodPost)
			s.refuse(w, nil, &protocol.Fault{Code: protocol.MethodNotAllowed, Content: "Calls are sent with POST."})
			return
		}
		body, fault := read(w, r)
		if fault != nil {
			s.refuse(w, nil, fault)
			return
		}
		var in rpcRequestBody
		if err := strictjson.Check(body, limits); err != nil || json.Unmarshal(body, &in) != nil {
			reply(w, http.StatusBadRequest, nil, nil, &rpcError{Code: rpcParse, Message: "This is not a call that can be read; batches are not taken."})
			return
		}
		if in.Version != "2.0" || in.Method == "" || !plainID(in.ID) {
			reply(w, http.StatusBadRequest, nil, nil, &rpcError{Code: rpcRequest, Message: "This is not a call of JSON-RPC 2.0."})
			return
		}
		if len(in.ID) == 0 { // a notification
			w.WriteHeader(http.StatusAccepted)
			return
		}
		op := in.Method
		status := http.StatusOK
		switch in.Method {
		case "initialize":
			reply(w, status, in.ID, initialized(in.Params), nil)
		case "ping":
			reply(w, status, in.ID, object{}, nil)
		case "tools/list":
			reply(w, status, in.ID, listed, nil)
		case "tools/call":
			op, status = s.tool(w, r, v, in, body)
		default:
			status = http.StatusNotFound
			reply(w, status, in.ID, nil, &rpcError{Code: rpcMethod, Message: "There is no such method."})
		}
		s.cfg.Observe("mcp "+op, status, s.cfg.Now().Sub(start))
	})
}

// plainID takes what JSON-RPC takes for an id: text, a number, or none.
func plainID(id json.RawMessage) bool {
	return len(id) == 0 || id[0] == '"' || id[0] == '-' || id[0] >= '0' && id[0] <= '9'
}

func initialized(params json.RawMessage) object {
	var in struct {
		Version string `json:"protocolVersion"`
	}
	_ = json.Unmarshal(params, &in) // without one it gets ours
	version := mcpVersion
	if in.Version != "" && in.Version < mcpVersion && len(in.Version) == len(mcpVersion) {
		version = in.Version
	}
	return object{"protocolVersion": version, "capabilities": object{"tools": object{}}, "serverInfo": object{"name": "paywall", "version": "1"}}
}

// tool carries out tools/call, and returns its name and status.
func (s *Server) tool(w http.ResponseWriter, r *http.Request, v protocol.Version, in rpcRequestBody, whole []byte) (string, int) {
	var t toolCall
	if len(in.Params) == 0 || json.Unmarshal(in.Params, &t) != nil {
		reply(w, http.StatusBadRequest, in.ID, nil, &rpcError{Code: rpcParams, Message: "params are {name, arguments}."})
		return "unknown", http.StatusBadRequest
	}
	op, ok := s.tools[t.Name]
	if !ok {
		reply(w, http.StatusBadRequest, in.ID, nil, &rpcError{Code: rpcParams, Message: "There is no such tool."})
		return "unknown", http.StatusBadRequest
	}
	c := &call{op: op, v: v}
	status, body, fault := s.toolCall(r.Context(), c, r, t, whole)
	if fault != nil {
		s.note(r.Context(), c, fault)
		s.refuse(w, in.ID, fault)
		return op.name, fault.Status()
	}
	result := object{
		"structuredContent": json.RawMessage(body), "content": []object{{"type": "text", "text": string(body)}}, "isError": false,
	}
	out, err := json.Marshal(object{"jsonrpc": "2.0", "id": in.ID, "result": result})
	if err != nil {
		s.refuse(w, in.ID, &protocol.Fault{Code: protocol.Internal, Content: "The answer could not be written.", Err: err})
		return op.name, http.StatusInternalServerError
	}
	if op.signed && s.cfg.Sign != nil {
		if err := s.cfg.Sign(w.Header(), status, out); err != nil {
			s.cfg.Logger.ErrorContext(r.Context(), "answer not signed", "err", err)
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(out)
	return op.name, status
}

func (s *Server) toolCall(ctx context.Context, c *call, r *http.Request, t toolCall, whole []byte) (int, []byte, *protocol.Fault) {
	var meta toolMeta
	if raw, given := t.Arguments["meta"]; given && json.Unmarshal(raw, &meta) != nil {
		return 0, nil, &protocol.Fault{Code: protocol.InvalidRequest, Content: "meta cannot be read."}
	}
	if meta.Agent.Profile == "" {
		return 0, nil, &protocol.Fault{Code: protocol.InvalidProfileURL, Content: `Name the agent's profile in meta: {"ucp-agent":{"profile":"https://…"}}.`}
	}
	if raw, given := t.Arguments["id"]; given && json.Unmarshal(raw, &c.id) != nil {
		return 0, nil, &protocol.Fault{Code: protocol.InvalidRequest, Content: "id is text."}
	}
	if raw, given := t.Arguments[c.op.member]; given && c.op.member != "" && !bytes.Equal(raw, []byte("null")) {
		c.body = raw
	}
	if strings.Contains(c.op.path, "*") && (c.id == "" || len(c.id) > maxID) {
		return 0, nil, &protocol.Fault{Code: protocol.InvalidRequest, Content: "The id is missing."}
	}
	c.key = meta.Key
	if c.op.keyed && c.key == "" {
		return 0, nil, &protocol.Fault{Code: protocol.InvalidRequest, Content: `This wants an idempotency key in meta: {"idempotency-key":"…"}.`}
	}
	out, fault := s.prepare(ctx, c, agent.Request{Parts: agent.PartsOf(r), Body: whole, Profile: meta.Agent.Profile})
	if fault != nil {
		return 0, nil, fault
	}
	if out != nil {
		data, err := json.Marshal(out.doc)
		if err != nil {
			return 0, nil, &protocol.Fault{Code: protocol.Internal, Content: "The answer could not be written.", Err: err}
		}
		return out.status, data, nil
	}
	status, body, fault := s.carry(ctx, c)
	if status == http.StatusCreated {
		status = http.StatusOK // a call has succeeded, whatever it made
	}
	return status, body, fault
}

// refuse answers a fault, with its status and code.
func (s *Server) refuse(w http.ResponseWriter, id json.RawMessage, fault *protocol.Fault) {
	data := object{"code": fault.Code, "content": fault.Content}
	if fault.RetryAfter > 0 {
		n := int((fault.RetryAfter + time.Second - 1) / time.Second)
		data["retry_after"] = n
		w.Header().Set("Retry-After", strconv.Itoa(n))
	}
	if fault.Status() == http.StatusUnauthorized && s.cfg.Challenge != "" {
		w.Header().Set("WWW-Authenticate", s.cfg.Challenge)
	}
	reply(w, fault.Status(), id, nil, &rpcError{Code: fault.RPC(), Message: fault.Content, Data: data})
}

func reply(w http.ResponseWriter, status int, id json.RawMessage, result any, fault *rpcError) {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	doc := object{"jsonrpc": "2.0", "id": id}
	if fault != nil {
		doc["error"] = fault
	} else {
		doc["result"] = result
	}
	body, err := json.Marshal(doc)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":`+strconv.Itoa(rpcInternal)+`,"message":"The answer could not be written."}}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

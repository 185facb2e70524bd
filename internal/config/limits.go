package config

import "time"

// times checks how long things last, each against the others.
func (c *checker) times() {
	in, out := &c.in, &c.out
	out.Challenge = Challenge{TTL: time.Duration(in.Challenge.TTL), SeparateHeader: in.Challenge.SeparateHeader}
	out.ReceiptTTL = time.Duration(in.Receipts.TTL)
	out.Settlement = Settlement{Patience: time.Duration(in.Settlement.Patience), Attempt: time.Duration(in.Settlement.Attempt)}
	if in.Settlement.Attempt > in.Settlement.Patience {
		path := "settlement.attempt"
		if !c.has(path) {
			path = "settlement.patience"
		}
		c.fault(path, "a payer would stop waiting (%v) before one attempt is over (%v)", in.Settlement.Patience, in.Settlement.Attempt)
	}
}

func (c *checker) limits() {
	in := &c.in.Limits
	c.out.Limits = Limits{
		ChallengesPerSecond: int(in.ChallengesPerSecond), Burst: int(in.Burst), FailedPerMinute: int(in.FailedPerMinute),
		Connections: int(in.Connections), ConnectionsPerClient: int(in.ConnectionsPerClient),
		InFlight: int(in.InFlight), InFlightPerClient: int(in.InFlightPerClient), Queue: int(in.Queue), Dispatches: int(in.Dispatches),
		Body: int64(in.Body), HeaderBytes: int64(in.HeaderBytes), Credential: int64(in.Credential),
		Answer: int64(in.Answer), Answers: int64(in.Answers), AnswerFor: time.Duration(in.AnswerFor),
		ReadHeader: time.Duration(in.ReadHeader), ReadBody: time.Duration(in.ReadBody),
		WriteStall: time.Duration(in.WriteStall), Idle: time.Duration(in.Idle),
	}
	const others = 4 << 10 // what the other fields of a request need
	if in.HeaderBytes < in.Credential+others {
		path := "limits.header_bytes"
		if !c.has(path) {
			path = "limits.credential"
		}
		c.fault(path, "a credential of %v does not fit into a header of %v; header_bytes is at least 4KiB more", in.Credential, in.HeaderBytes)
	}
	if in.Answers < in.Answer {
		path := "limits.answers"
		if !c.has(path) {
			path = "limits.answer"
		}
		c.fault(path, "one answer of %v does not fit into the memory for all, %v", in.Answer, in.Answers)
	}
	if c.has("limits.connections") && !c.has("limits.connections_per_client") {
		c.out.Limits.ConnectionsPerClient = min(c.out.Limits.ConnectionsPerClient, c.out.Limits.Connections)
	}
	if c.out.Limits.ConnectionsPerClient > c.out.Limits.Connections {
		c.fault("limits.connections_per_client", "%v is more than connections, %v", in.ConnectionsPerClient, in.Connections)
	}
}

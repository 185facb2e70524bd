package payment

// Points of a paid request at which a process may die (security model, crash
// table). Each lies right after the step it is named for, except [PointSend],
// which lies right before a call of the rail that may move money.
const (
	PointVerified = "verified" // nothing is stored yet
	PointIntent   = "intent"   // the claim and its intent are durable
	PointHeld     = "held"     // the rail has promised the money, nothing is taken; the request may be served
	PointCapture  = "capture"  // what is to be taken of a promise is durable
	PointSend     = "send"     // the charge or the capture is about to leave
	PointAnswered = "answered" // the rail has answered, nothing of it is stored
	PointSettled  = "settled"  // the settlement is durable, the entitlement open

	PointDispatched = "dispatched" // the right to serve is taken; durable where the request must not run twice
	PointUpstream   = "upstream"   // the upstream has answered (in the gate)
	PointHeaders    = "headers"    // the header of the answer has gone to the payer (in the gate)
	PointLastByte   = "last_byte"  // all of the answer has (in the gate)
	PointDelivered  = "delivered"  // the delivery is durable

	PointRefunding    = "refunding"     // the duty to refund is durable
	PointRefundSend   = "refund_send"   // the refund is about to leave
	PointRefundAnswer = "refund_answer" // the rail has answered it, nothing of it is stored
	PointRefunded     = "refunded"      // the refund is durable
)

// CrashPoints lists every point in the order in which a payment meets them. One
// whose money is held first meets [PointUpstream] between held and capture.
func CrashPoints() []string {
	return []string{
		PointVerified, PointIntent, PointHeld, PointCapture, PointSend, PointAnswered, PointSettled,
		PointDispatched, PointUpstream, PointHeaders, PointLastByte, PointDelivered,
		PointRefunding, PointRefundSend, PointRefundAnswer, PointRefunded,
	}
}

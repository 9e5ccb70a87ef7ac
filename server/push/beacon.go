package push

import (
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

// beacons tells the other servers now and then how far this one has come, so
// that they notice what did not reach them even if nothing follows. The first
// says that it begins.
func (v *Service) beacons() {
	tick := time.NewTicker(v.cfg.Limits.Beacon)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-v.hub.hurry:
		case <-tick.C:
		}
		v.hub.beacon(false)
		now := time.Now()
		v.hub.tellSilent(now)
		v.hub.forgetOrigins(now)
	}
}

// beacon tells the other servers how far this one has come, and whether it ends.
func (h *Hub) beacon(ends bool) {
	var stamps []pushwire.Stamp
	for _, g := range *h.groups.Load() {
		g.mu.Lock()
		if g.present || g.seq > 0 {
			stamps = append(stamps, pushwire.Stamp{Group: g.number, Seq: g.seq})
		}
		g.mu.Unlock()
	}
	for len(stamps) > pushwire.MaxStamps {
		h.announceBeacon(stamps[:pushwire.MaxStamps], false)
		stamps = stamps[pushwire.MaxStamps:]
	}
	if len(stamps) > 0 || ends {
		h.announceBeacon(stamps, ends)
	}
}

func (h *Hub) announceBeacon(stamps []pushwire.Stamp, ends bool) {
	if encoded, err := pushwire.Append(nil, pushwire.Beacon{Origin: h.origin, Ends: ends, Stamps: stamps}); err == nil {
		_ = h.bus.Announce(encoded) // the next one says it, too
	}
}

// hurryBeacon asks for a beacon now.
func (h *Hub) hurryBeacon() {
	select {
	case h.hurry <- struct{}{}:
	default:
	}
}

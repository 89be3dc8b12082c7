package ec2

import (
	"encoding/base64"
	"slices"
)

type instancesInput struct {
	IDs []string `q:"InstanceId,required"`
}

type stateChange struct {
	ID       string    `xml:"instanceId"`
	Current  stateView `xml:"currentState"`
	Previous stateView `xml:"previousState"`
}

type stateChangeAnswer struct {
	meta
	Instances set[stateChange] `xml:"instancesSet"`
}

// instances finds all of a list, each once.
func (c *call) instances(ids []string) ([]*instance, error) {
	list, err := search[*instance]{kind: kindInstance, all: c.region.Instances, ids: ids}.run()
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, missingParameter("InstanceId")
	}
	return list, nil
}

// change moves instances to a state that leads to another, and starts what does so. Those for which it isn't needed stay
// as they are.
func (c *call) change(list []*instance, to string, needed func(*instance) bool, code, message string, work func(region, id string)) (*stateChangeAnswer, error) {
	if err := c.commit(); err != nil {
		return nil, err
	}
	out, name := &stateChangeAnswer{}, c.region.Name
	for _, i := range list {
		before := i.State
		if needed(i) {
			i.State, i.StateReason, i.StateMessage, i.Reason = to, code, message, ""
			if code != "" {
				i.Reason = "User initiated (" + c.now.UTC().Format("2006-01-02 15:04:05 GMT") + ")"
			}
			id := i.ID
			c.then = append(c.then, func() { c.work.Start(func() { work(name, id) }) })
		}
		out.Instances.Items = append(out.Instances.Items, stateChange{i.ID, stateOf(i.State), stateOf(before)})
	}
	return out, nil
}

func (c *call) startInstances(in *struct {
	instancesInput
	Info string `q:"AdditionalInfo"`
}) (*stateChangeAnswer, error) {
	list, err := c.instances(in.IDs)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.State == stopping || i.State == shuttingDown || i.State == terminated {
			return nil, apiErrorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", i.ID)
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	var taken []*netInterface
	for _, i := range list {
		for _, n := range c.region.interfacesOf(i.ID) {
			if i.State != stopped || !n.AutoPublic || c.region.publicOf(n).IsValid() {
				continue
			}
			if n.Public, err = c.takePublic(c.region.Name); err != nil {
				for _, t := range taken {
					c.releasePublic(c.region, t)
				}
				return nil, err
			}
			taken = append(taken, n)
		}
	}
	for _, i := range list {
		if i.State == stopped {
			i.Launched = c.now
		}
	}
	return c.change(list, pending, func(i *instance) bool { return i.State == stopped }, "", "", c.boot)
}

func (c *call) stopInstances(in *struct {
	instancesInput
	Hibernate bool `q:"Hibernate"`
	Force     bool `q:"Force"`
	SkipOS    bool `q:"SkipOsShutdown"`
}) (*stateChangeAnswer, error) {
	list, err := c.instances(in.IDs)
	if err != nil {
		return nil, err
	}
	if in.Hibernate {
		return nil, apiErrorf("UnsupportedHibernationConfiguration", "The instances are not configured for hibernation")
	}
	for _, i := range list {
		switch {
		case i.State != running && i.State != stopping && i.State != stopped:
			return nil, apiErrorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be stopped.", i.ID)
		case i.ProtectedStop && i.State == running:
			return nil, apiErrorf("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", i.ID)
		}
	}
	return c.change(list, stopping, func(i *instance) bool { return i.State == running },
		"Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", c.stop)
}

func (c *call) terminateInstances(in *struct {
	instancesInput
	Force  bool `q:"Force"`
	SkipOS bool `q:"SkipOsShutdown"`
}) (*stateChangeAnswer, error) {
	list, err := c.instances(in.IDs)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.ProtectedTermination && i.State != terminated {
			return nil, apiErrorf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
		}
	}
	return c.change(list, shuttingDown, func(i *instance) bool { return i.State != shuttingDown && i.State != terminated },
		"Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", c.terminate)
}

func (c *call) rebootInstances(in *instancesInput) (*doneAnswer, error) {
	list, err := c.instances(in.IDs)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.State != running && i.State != pending {
			return nil, apiErrorf("IncorrectState", "Instance '%s' is not in a state from which it can be rebooted.", i.ID)
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	name := c.region.Name
	for _, i := range list {
		if id := i.ID; i.State == running {
			c.then = append(c.then, func() { c.work.Start(func() { c.reboot(name, id) }) })
		}
	}
	return done()
}

type consoleInput struct {
	ID     string `q:"InstanceId,required"`
	Latest bool   `q:"Latest"`
}

type consoleAnswer struct {
	meta
	ID     string `xml:"instanceId"`
	At     string `xml:"timestamp"`
	Output string `xml:"output,omitempty"`
}

func (c *call) consoleOutput(in *consoleInput) (*consoleAnswer, error) {
	i, err := get(kindInstance, c.region.Instances, in.ID)
	if err != nil {
		return nil, err
	}
	return &consoleAnswer{ID: i.ID, At: stamp(c.now), Output: base64.StdEncoding.EncodeToString(c.cfg.Physical.Console(i.ID))}, nil
}

type describeCredits struct {
	describe
	IDs []string `q:"InstanceId"`
}

type creditView struct {
	ID      string `xml:"instanceId"`
	Credits string `xml:"cpuCredits"`
}

type describeCreditsAnswer struct {
	meta
	Credits set[creditView] `xml:"instanceCreditSpecificationSet"`
	Next    string          `xml:"nextToken,omitempty"`
}

// describeCredits lists burstable instances: those asked for, or else those that don't have the default.
func (c *call) describeCredits(in *describeCredits) (*describeCreditsAnswer, error) {
	if err := notBoth(in.paging, in.IDs, "instancesSet"); err != nil {
		return nil, err
	}
	list, next, err := search[*instance]{kindInstance, c.region.Instances, in.IDs, in.Filters, fields[*instance]{
		"instance-id": func(i *instance) []string { return one(i.ID) },
	}, nil}.page(in.paging, func(i *instance) string { return i.ID })
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.Credits == "" && slices.Contains(in.IDs, i.ID) {
			return nil, apiErrorf("InvalidInstanceID", "The instance '%s' is not of a burstable performance type", i.ID)
		}
	}
	list = slices.DeleteFunc(list, func(i *instance) bool {
		return i.Credits == "" || len(in.IDs) == 0 && i.Credits != "unlimited"
	})
	return &describeCreditsAnswer{Next: next, Credits: views(list, func(i *instance) creditView { return creditView{i.ID, i.Credits} })}, nil
}

package main

// figures are what the plots are drawn from, in the order of the peers.
type figures struct {
	crossings []crossing
	survivals []survival
}

func (f *figures) write(dir string) error { return nil }

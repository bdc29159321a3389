"""Where many pictures come from: a folder, a list, tables with their bytes, a store on the network, a data set."""

"""Do made windows help a fault classifier?"""
